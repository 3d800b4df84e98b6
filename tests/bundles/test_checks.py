from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hub_ext.bundles import bundle, checks
from hub_ext.bundles.checks.secrets import DETECTORS, scan_secrets
from hub_ext.bundles.environment import Lock
from hub_ext.bundles.snapshot import Snapshot
from hub_ext.bundles.spec import Parameter, Severity

AWS = "AKIA" + "QWERTYUIOPASDFGH"
HEX = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("source", "code", "line"),
    [
        ("x = 1\ny = (", "syntax-error", 2),
        ("name = input('?')", "asks-for-input", 1),
        ("import getpass\ngetpass.getpass()", "asks-for-input", 2),
        ("!pip install x", "installs-packages", 1),
        ("%pip install -q x", "installs-packages", 1),
        ("x = 1\n!cd a && python3 -m pip install x", "installs-packages", 2),
        ("%conda install x", "installs-packages", 1),
        ("%%bash\n\nuv pip install x", "installs-packages", 3),
        ("!{sys.executable} -m pip install x", "installs-packages", 1),
        ("open('/home/ana/x.csv')", "home-path", 1),
        ("p = '~/x'", "home-path", 1),
        ("p = 'C:\\\\Users\\\\Ana\\\\x'", "home-path", 1),
        (f"key = '{AWS}'", "secret", 1),
    ],
)
def test_each_check_finds_what_it_is_for(
    taking: Callable[..., Snapshot], source: str, code: str, line: int
) -> None:
    (found,) = checks.check(taking("ok = 1", source))
    assert (found.code, found.cell, found.line) == (code, 1, line)
    assert "cell 2" in found.message
    assert found.mend


@pytest.mark.parametrize(
    "source",
    [
        "%matplotlib inline\nimport pandas as pd\n!ls\nx = !pwd",
        "await f()",
        "print('pip install x')",
        "!pip list",
        "# open('/home/ana/x')",
        "x.input('a')",
        "url = 'https://example.org/home/ana/'",
        "%%bash\nif [ 1 ]; then ls; fi",
        "df.head?",
        "text = '''\n%pip install x\n'''",
    ],
)
def test_what_is_in_order_gives_no_finding(taking: Callable[..., Snapshot], source: str) -> None:
    assert checks.check(taking(source)) == []


def test_tags_say_that_an_error_is_meant(
    taking: Callable[..., Snapshot], notes: SimpleNamespace
) -> None:
    taken = taking("x = 1", notes.code("(", "raises-exception"), notes.code("(", "skip-execution"))
    assert checks.check(taken) == []


def test_syntax_of_a_newer_python_is_a_warning(
    taking: Callable[..., Snapshot], lock: Lock, tmp_path: Path
) -> None:
    info = {"name": "python", "version": "3.99.0"}
    taken = taking("match (", language_info=info)
    (found,) = checks.check(taken)
    assert found.severity is Severity.WARNING
    newer = lock.model_copy(update={"python": "3.99.0"})
    (found,) = checks.review(bundle.load(bundle.write(taken, newer, tmp_path / "b").path))
    assert found.severity is Severity.WARNING


@pytest.mark.parametrize("cells", [(), ("",), ("  \n",)])
def test_a_notebook_without_code_is_refused(
    taking: Callable[..., Snapshot], cells: tuple[str, ...]
) -> None:
    assert [item.code for item in checks.check(taking(*cells))] == ["nothing-to-run"]


@pytest.mark.parametrize("kernel", ["ir", "wrapped"])
def test_a_kernel_that_jobs_cannot_have_is_an_error(
    taking: Callable[..., Snapshot], kernel: str
) -> None:
    (found,) = checks.check(taking("x", kernel=kernel))
    assert (found.code, found.severity) == ("kernel-not-for-jobs", Severity.ERROR)


def test_findings_come_gravest_first_then_by_place(taking: Callable[..., Snapshot]) -> None:
    found = checks.check(taking("open('~/a')\ninput()", f"'{AWS}'", "("))
    assert [(item.code, item.cell, item.line) for item in found] == [
        ("secret", 1, 1),
        ("syntax-error", 2, 1),
        ("home-path", 0, 1),
        ("asks-for-input", 0, 2),
    ]


def test_errors_refuse_and_warnings_do_not(taking: Callable[..., Snapshot]) -> None:
    checks.refuse(checks.check(taking("input()")))
    with pytest.raises(checks.ChecksFailed) as caught:
        checks.refuse(checks.check(taking("input()", f"'{AWS}'")))
    assert caught.value.code == "checks-failed"
    assert AWS not in str(caught.value.problem())
    assert [item["code"] for item in caught.value.extra["findings"]] == ["secret", "asks-for-input"]


def test_secrets_in_files_and_in_markdown_are_errors(taking: Callable[..., Snapshot]) -> None:
    cell = {"cell_type": "markdown", "metadata": {}, "source": f"key: {AWS}"}
    found = checks.check(taking("x", cell, files={"conf.ini": f"\nkey={AWS}".encode()}))
    assert [(item.code, item.cell) for item in found] == [("secret", None), ("secret", 1)]
    assert "conf.ini, line 2" in found[0].message


def test_secrets_in_outputs_are_warnings(
    taking: Callable[..., Snapshot], notes: SimpleNamespace
) -> None:
    outputs: list[Any] = [
        {"output_type": "stream", "name": "stdout", "text": ["a\n", AWS]},
        {
            "output_type": "display_data",
            "metadata": {},
            "data": {"text/plain": "x", "image/png": AWS},
        },
    ]
    (found,) = checks.check(taking(notes.code("x", outputs=outputs)))
    assert (found.code, found.severity) == ("secret-in-output", Severity.WARNING)


@pytest.mark.parametrize(
    ("text", "detector"),
    [
        (AWS, "aws-access-key"),
        (f"aws_secret_access_key = '{'aB3/' * 10}'", "aws-secret-key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "private-key"),
        ("-----BEGIN PRIVATE KEY-----", "private-key"),
        ("ghp_" + "aB3d" * 9, "github-token"),
        ("github_pat_" + "aB3d" * 20, "github-token"),
        ("glpat-" + "aB3d" * 5, "gitlab-token"),
        (f"JUPYTERHUB_API_TOKEN = '{HEX}'", "jupyterhub-token"),
        (f"os.environ['JUPYTERHUB_API_TOKEN'] = '{HEX}'", "jupyterhub-token"),
        (f"headers={{'Authorization': 'token {HEX}'}}", "jupyterhub-token"),
        (f"http://hub/user/ana/?token={HEX}", "jupyterhub-token"),
        ("postgresql://ana:S3cr%et@db.example/stats", "connection-string"),
        ("mysql+pymysql://u:p4ss@10.0.0.1:3306/x", "connection-string"),
        ("redis://:hunter2@cache", "connection-string"),
        ("hf_" + "aB3d" * 9, "hugging-face-token"),
        ("AIza" + "aB3d_" * 7, "google-key"),
        ("xoxb-123456789012-abcdefghijkl", "slack-token"),
    ],
)
def test_secrets_are_known_by_their_kind(text: str, detector: str) -> None:
    (hit,) = scan_secrets(f"# first\n{text}\n")
    assert (hit.detector.name, hit.line) == (detector, 2)
    assert text not in repr(hit)


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "sha256:" + HEX * 2,
        "postgresql://user:password@localhost/db",
        "postgresql://ana:{password}@db/x",
        "postgresql://ana:$PASSWORD@db/x",
        "f'postgresql://{user}:{pw}@{host}/x'",
        "https://example.org:8080/a@b",
        "JUPYTERHUB_API_TOKEN = os.environ['X']",
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk" * 50,
        "aws_secret_access_key = os.environ['AWS_SECRET_ACCESS_KEY']",
        "?token=<your token>",
        "ghp_xxxxxxxx",
    ],
)
def test_what_only_looks_like_a_secret_is_let_through(text: str) -> None:
    assert scan_secrets(text) == []


def test_every_detector_is_fast_on_long_lines() -> None:
    text = ("http://" + "a" * 300 + ":") * 2000 + "AKIA" * 50_000 + "secret_access_key " * 20_000
    started = time.perf_counter()
    for detector in DETECTORS:
        detector.pattern.search(text)
    assert time.perf_counter() - started < 5


def test_two_hundred_cells_take_less_than_a_second(taking: Callable[..., Snapshot]) -> None:
    source = "%time x = 1\n" + "\n".join(
        f"value_{n} = frame['c{n}'].sum()  # {n}" for n in range(30)
    )
    taken = taking(*[source] * 200)
    started = time.process_time()  # its own: not what other tests take of the machine
    assert checks.check(taken) == []
    assert time.process_time() - started < 1


def test_the_service_checks_again_what_a_bundle_holds(
    taking: Callable[..., Snapshot], notes: SimpleNamespace, lock: Lock, tmp_path: Path
) -> None:
    taken = taking(notes.code(f"key = '{AWS}'", "parameters"))
    contents = bundle.load(bundle.write(taken, lock, tmp_path / "b").path)
    assert [item.code for item in checks.review(contents)] == ["secret"]
    lied = dataclasses.replace(taken, parameters=(Parameter(name="other", type="int"),))
    contents = bundle.load(bundle.write(lied, lock, tmp_path / "b").path)
    assert [item.code for item in checks.review(contents)] == ["manifest-parameters", "secret"]


def test_a_check_that_fails_does_not_silence_the_others(
    taking: Callable[..., Snapshot], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def broken(subject: object) -> list[Any]:
        raise ValueError

    real = checks._checks()
    monkeypatch.setattr(checks, "_checks", lambda: (broken, *real))
    assert [item.code for item in checks.check(taking("input()"))] == ["asks-for-input"]
    assert "failed" in caplog.text
