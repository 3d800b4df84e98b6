"""almanac.yaml: every mistake is found, and said where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub_ext import settings
from hub_ext.names import Role
from hub_ext.settings import NetworkSettings, Settings, SettingsError, parse
from hub_ext.toolchain import config_folder


def problems(text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse(text)
    return caught.value.problems


def test_the_commented_example_is_the_default() -> None:
    assert settings.load(config_folder() / "almanac.yaml") == Settings()


def test_the_commented_example_names_every_key() -> None:
    text = (config_folder() / "almanac.yaml").read_text()

    def keys(model: type[settings.Section]) -> list[str]:
        found = []
        for name, field in model.model_fields.items():
            found.append(name)
            if isinstance(field.annotation, type) and issubclass(
                field.annotation, settings.Section
            ):
                found += keys(field.annotation)
        return found

    for key in [*keys(Settings), *keys(settings.ProjectSettings)]:
        assert f"{key}:" in text, key


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}"])
def test_an_empty_file_is_valid(text: str) -> None:
    assert parse(text) == Settings()


def test_a_key_that_is_not_known_is_a_mistake_at_any_level() -> None:
    assert problems("sever:\n  port: 1\n")[0].startswith("almanac.yaml:1: sever: is not a known")
    assert problems("server:\n  address: 127.0.0.1\n  prot: 1\n")[0].startswith(
        "almanac.yaml:3: server.prot: is not a known key"
    )
    assert problems("projects:\n- slug: a\n- slug: b\n  member: []\n")[0].startswith(
        "almanac.yaml:4: projects[1].member: is not a known key"
    )


def test_every_mistake_is_listed_with_its_line() -> None:
    found = problems("server:\n  port: 99999\n  address: localhost\njobs:\n  parallel_runs: 0\n")
    assert [line.split(": ")[:2] for line in found] == [
        ["almanac.yaml:3", "server.address"],
        ["almanac.yaml:2", "server.port"],
        ["almanac.yaml:5", "jobs.parallel_runs"],
    ]


def test_a_placeholder_is_a_mistake() -> None:
    found = problems("storage:\n  bucket: CHANGEME\n")
    assert any("still CHANGEME" in line for line in found)


def test_what_is_not_yaml_is_said_with_its_line() -> None:
    assert problems("server:\n  port: [1\n")[0].startswith("almanac.yaml:")
    assert "not valid YAML" in problems("a: b: c")[0]
    assert problems("just text")


def test_a_file_that_is_not_there_is_a_mistake_and_not_the_defaults(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load(tmp_path / "almanac.yaml")
    assert "cannot be read" in caught.value.problems[0]


def test_the_shared_password_is_for_loopback_only() -> None:
    assert parse("authentication: {method: demo}").authentication.method == "demo"
    assert (
        "use password" in problems("server: {address: 0.0.0.0}\nauthentication: {method: demo}")[0]
    )
    assert parse("server: {address: 0.0.0.0}").server.loopback is False


@pytest.mark.parametrize("slug", ["Upper", "user-ana", "a b", "-a", "a" * 41, ""])
def test_a_project_has_a_name_that_is_safe_everywhere(slug: str) -> None:
    assert problems(f"projects: [{{slug: '{slug}'}}]")[0].startswith("almanac.yaml:1: projects[0]")


def test_a_project_is_there_once() -> None:
    assert "twice" in problems("projects: [{slug: a}, {slug: a}]")[0]


def test_groups_follow_from_membership() -> None:
    loaded = parse(
        "projects:\n"
        "- {slug: prices, members: [ana], owners: [bo], approvers: [chris]}\n"
        "- {slug: gdp, groups: {/org/gdp: approver}}\n"
    )
    assert loaded.groups_of("ana") == ["prices"]
    assert loaded.groups_of("bo") == ["prices", "prices:owner"]
    assert loaded.groups_of("chris") == ["prices", "prices:approver"]
    assert loaded.groups_of("dora") == []
    assert loaded.groups_of("dora", ["/org/gdp"]) == ["gdp", "gdp:approver"]
    assert loaded.projects[0].roles_of("bo") == {Role.MEMBER, Role.OWNER}


def test_the_network_s_settings_reach_every_tool() -> None:
    environment = NetworkSettings(
        package_index="https://mirror/simple",
        npm_registry="https://mirror/npm",
        ca_bundle=Path("/etc/institute.pem"),
        https_proxy="http://proxy:3128",
    ).environment({"PIP_INDEX_URL": "https://other", "HOME": "/home/ana"})
    assert (
        environment["PIP_INDEX_URL"] == environment["UV_DEFAULT_INDEX"] == "https://mirror/simple"
    )
    assert environment["npm_config_registry"] == "https://mirror/npm"
    assert (
        environment["SSL_CERT_FILE"] == environment["NODE_EXTRA_CA_CERTS"] == "/etc/institute.pem"
    )
    assert environment["https_proxy"] == environment["HTTPS_PROXY"] == "http://proxy:3128"
    assert {"127.0.0.1", "localhost", "::1"} <= set(environment["no_proxy"].split(","))
    assert "HOME" not in environment


def test_what_is_not_set_is_inherited() -> None:
    inherited = {"SSL_CERT_FILE": "/etc/ssl/own.pem", "SECRET": "x"}
    assert NetworkSettings().environment(inherited) == {"SSL_CERT_FILE": "/etc/ssl/own.pem"}
    assert NetworkSettings().environment() == {}


def test_limits_are_of_each_place_or_of_all() -> None:
    loaded = parse(
        "storage: {quota_gb: 1.5}\n"
        "projects:\n"
        "  - {slug: large, quota_gb: 200}\n"
        "  - {slug: open, quota_gb: none}\n"
        "  - {slug: plain}\n"
    )
    assert loaded.storage.quota_bytes == 1_500_000_000
    assert loaded.quotas() == {"large": 200_000_000_000, "open": None}
    assert Settings().storage.quota_bytes is None


@pytest.mark.parametrize(
    "text",
    [
        "storage: {quota_gb: 0}",
        "storage: {quota_gb: -1}",
        "storage: {quota_gb: .inf}",
        "storage: {quota_gb: none}",
        "storage: {keep_deleted_days: -1}",
        "storage: {keep_deleted_days: 1.5}",
        "storage: {share_link_days: 8}",
        "projects: [{slug: gdp, quota_gb: much}]",
    ],
)
def test_a_limit_that_makes_no_sense_is_a_mistake(text: str) -> None:
    assert len(problems(text)) == 1
