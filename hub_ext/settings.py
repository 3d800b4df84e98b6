"""almanac.yaml: one file, validated before anything starts.

Read by `hub_ext.configure` and by the start of each service, by nothing else;
everyone else is handed the values. Every key is documented where it is
defined: the reference page and the JSON Schema are generated from here.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hub_ext.errors import PublicError
from hub_ext.names import Project, Role

PLACEHOLDER = "CHANGEME"
SETTINGS_FILE_VARIABLE = "ALMANAC_CONFIG"


class SettingsError(PublicError):
    """almanac.yaml cannot be used; ``problems`` holds one line per mistake."""

    code, status = "settings-invalid", 422

    def __init__(self, path: Path | str, problems: Sequence[str]):
        super().__init__(
            f"{path} has {len(problems)} mistake{'s' if len(problems) != 1 else ''}.",
            mend="Mend what is listed above; `almanac validate` checks the file again.",
            problems=list(problems),
        )
        self.problems = list(problems)


class Section(BaseModel):
    """A part of almanac.yaml. A key that is not known is a mistake, not a wish."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


Port = Annotated[int, Field(ge=0, le=65535)]
MOST_GIGABYTES = 1e9
Gigabytes = Annotated[float, Field(gt=0, le=MOST_GIGABYTES, allow_inf_nan=False)]


class ServerSettings(Section):
    """Where people reach Almanac."""

    address: str = "127.0.0.1"
    """Address to listen on. Anything but loopback needs a sign-in stronger
    than ``demo`` and, for now, a TLS-terminating proxy in front."""
    port: Port = 8000
    """Port to listen on; 0 takes a free one."""

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        ipaddress.ip_address(value)
        return value

    @property
    def loopback(self) -> bool:
        return ipaddress.ip_address(self.address).is_loopback


class NetworkSettings(Section):
    """What an institute's network puts between a machine and the world.

    One setting for all: it reaches people's servers, jobs and the building of
    environments. What is left out is taken from the environment of
    ``almanac up`` (``PIP_INDEX_URL``, ``SSL_CERT_FILE``, ``HTTPS_PROXY``…).
    """

    package_index: str | None = None
    """Index of Python packages, for pip and uv (a mirror's ``…/simple``)."""
    npm_registry: str | None = None
    """Registry of npm packages."""
    ca_bundle: Path | None = None
    """File of certificates (PEM) to trust, instead of the system's own."""
    http_proxy: str | None = None
    """Proxy for http."""
    https_proxy: str | None = None
    """Proxy for https."""
    no_proxy: list[str] = ["127.0.0.1", "localhost", "::1"]
    """Hosts that are reached directly; loopback always is."""

    def environment(self, inherited: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment variables that carry these settings to any process.

        Args:
            inherited: the environment to take unset values from; None takes
                none.
        """
        result = {
            name: value for name, value in (inherited or {}).items() if name in _NETWORK_VARIABLES
        }
        if self.package_index:
            result |= dict.fromkeys(
                ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"), self.package_index
            )
        if self.npm_registry:
            result |= dict.fromkeys(
                ("npm_config_registry", "YARN_NPM_REGISTRY_SERVER"), self.npm_registry
            )
        if self.ca_bundle:
            result |= dict.fromkeys(_CA_VARIABLES, str(self.ca_bundle))
        for name, value in (("http_proxy", self.http_proxy), ("https_proxy", self.https_proxy)):
            if value:
                result |= {name: value, name.upper(): value}
        if any(name.lower() in ("http_proxy", "https_proxy") for name in result):
            direct = ",".join(dict.fromkeys([*self.no_proxy, "127.0.0.1", "localhost", "::1"]))
            result |= {"no_proxy": direct, "NO_PROXY": direct}
        return result


_CA_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "AWS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
)
_NETWORK_VARIABLES = frozenset(
    [
        *_CA_VARIABLES,
        "SSL_CERT_DIR",
        *(
            name
            for variable in ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
            for name in (variable, variable.upper())
        ),
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "PIP_TRUSTED_HOST",
        "UV_DEFAULT_INDEX",
        "UV_INDEX",
        "UV_INDEX_URL",
        "UV_EXTRA_INDEX_URL",
        "UV_FIND_LINKS",
        "PIP_FIND_LINKS",
        "npm_config_registry",
        "YARN_NPM_REGISTRY_SERVER",
    ]
)


class AuthenticationSettings(Section):
    """How people sign in."""

    method: Literal["password", "demo"] = "password"
    """``password``: one password per user, kept as argon2 hashes (``almanac
    users add``). ``demo``: one shared password with which anyone can be
    anyone; on loopback only, for ``almanac demo`` and trying out."""
    admins: list[str] = []
    """Users who operate the hub (list and stop servers, see sizes; they
    cannot open another's server)."""
    refresh_seconds: Annotated[int, Field(ge=1, le=3600)] = 15
    """After how many seconds a user's existence and groups are looked up
    again: so long may a removed member still be let in."""


class ProjectSettings(Section):
    """A group of people that owns jobs and data."""

    slug: str
    """Name in addresses, in the object store and in commands: lower-case
    letters, digits and hyphens."""
    title: str = ""
    """Name for people."""
    members: list[str] = []
    """Users who see the project's jobs and may submit new ones."""
    owners: list[str] = []
    """Members who also manage every job of the project."""
    approvers: list[str] = []
    """Members who may approve a version."""
    groups: dict[str, Role] = {}
    """Groups of the identity provider and the role their members hold:
    ``{/org/gdp: member}``."""
    quota_gb: Gigabytes | Literal["none"] | None = None
    """What the project's files may take, in GB (10⁹ bytes); ``none`` for no
    limit, null for ``storage.quota_gb``."""

    @field_validator("slug")
    @classmethod
    def _is_a_slug(cls, value: str) -> str:
        return Project.shared(value).slug

    @field_validator("quota_gb", mode="before")
    @classmethod
    def _is_a_limit(cls, value: object) -> object:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value in (None, "none") or (number and 0 < value <= MOST_GIGABYTES):  # type: ignore[operator]
            return value
        raise ValueError("a limit is a number of GB above 0, or none, or null")

    @property
    def project(self) -> Project:
        return Project.shared(self.slug)

    def roles_of(self, username: str, provider_groups: Sequence[str] = ()) -> set[Role]:
        """The roles that ``username`` holds here; empty for an outsider."""
        held = {role for group, role in self.groups.items() if group in provider_groups}
        for role, names in (
            (Role.MEMBER, self.members),
            (Role.OWNER, self.owners),
            (Role.APPROVER, self.approvers),
        ):
            if username in names:
                held.add(role)
        return held | {Role.MEMBER} if held else set()


class StorageSettings(Section):
    """Where files, bundles and results lie: the object store that ``almanac up`` starts."""

    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] = "almanac"
    """The platform's bucket."""
    region: str = "us-east-1"
    """Region named in requests."""
    quota_gb: Gigabytes | None = None
    """What the files of each user, and of each project without a ``quota_gb``
    of its own, may take, in GB (10⁹ bytes); null for no limit. Old versions
    are not counted. JupyterLab refuses what would go over it; other programs
    write on with the keys that they have, and get none that write once it is
    reached: it holds within an hour or so."""
    keep_deleted_days: Annotated[int, Field(ge=0, le=36500)] = 30
    """For how many days a deleted or overwritten file can be had back; 0 for
    ever."""
    share_link_days: Annotated[int, Field(ge=0, le=7)] = 7
    """For how many days a link to a file may be good at most; 0 switches share
    links off. S3 allows 7 at most. Such a link lets anybody who has it read the
    file, and cannot be taken back."""

    @property
    def quota_bytes(self) -> int | None:
        return _bytes(self.quota_gb)


class JobsSettings(Section):
    """The job service."""

    parallel_runs: Annotated[int, Field(ge=1, le=256)] = 2
    """How many attempts run at once on this machine; the rest wait in line."""
    run_timeout_minutes: Annotated[int, Field(ge=1)] = 24 * 60
    """An attempt that takes longer is stopped and counts as failed."""
    cell_timeout_minutes: Annotated[int, Field(ge=1)] | None = None
    """A cell that takes longer fails the run; none by default."""
    bundle_limit_mb: Annotated[int, Field(ge=1)] = 100
    """Largest bundle that is accepted, unpacked."""


class Settings(Section):
    """The whole of almanac.yaml. An empty file is valid: all has a default."""

    server: ServerSettings = ServerSettings()
    network: NetworkSettings = NetworkSettings()
    authentication: AuthenticationSettings = AuthenticationSettings()
    projects: list[ProjectSettings] = []
    """Projects and who belongs to them."""
    storage: StorageSettings = StorageSettings()
    jobs: JobsSettings = JobsSettings()

    @model_validator(mode="after")
    def _safe(self) -> Settings:
        refuse_weak_sign_in(self.authentication.method, self.server.address)
        seen: set[str] = set()
        for project in self.projects:
            if project.slug in seen:
                raise ValueError(f"projects: {project.slug!r} is there twice")
            seen.add(project.slug)
        return self

    def quotas(self) -> dict[str, int | None]:
        """Limits, in bytes, of the projects that have one of their own; None for no limit."""
        return {
            project.slug: None if project.quota_gb == "none" else _bytes(project.quota_gb)
            for project in self.projects
            if project.quota_gb is not None
        }

    def groups_of(self, username: str, provider_groups: Sequence[str] = ()) -> list[str]:
        """The JupyterHub groups of a user, one for each role held; sorted."""
        return sorted(
            project.project.group(role)
            for project in self.projects
            for role in project.roles_of(username, provider_groups)
        )


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else round(gigabytes * 10**9)


def refuse_weak_sign_in(method: str, address: str) -> None:
    """Refuse to let anyone in as anyone where others than this machine's people can come.

    Raises:
        ValueError: ``address`` is not loopback and ``method`` is ``demo``.
    """
    if method == "demo" and not ipaddress.ip_address(address).is_loopback:
        raise ValueError(
            f"authentication.method: demo lets anyone in as anyone and server.address "
            f"{address} can be reached from other machines: use password"
        )


def load(path: Path | str | None) -> Settings:
    """Read and validate almanac.yaml; None gives the defaults.

    Raises:
        SettingsError: the file is missing, is not YAML, or breaks the schema;
            each problem reads ``file:line: path: what is wrong``.
    """
    if path is None:
        return Settings()
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(path, [f"{path}: cannot be read: {error.strerror}"]) from error
    return parse(text, name=str(path))


def parse(text: str, *, name: str = "almanac.yaml") -> Settings:
    """As `load`, from the text of the file."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or str(error)
        raise SettingsError(name, [f"{name}:{line}: not valid YAML: {problem}"]) from error
    data = {} if data is None else data
    problems = [
        f"{name}:{_line(node, where)}: {_dotted(where)}: still {PLACEHOLDER}; put your own value"
        for where, value in _leaves(data)
        if value == PLACEHOLDER
    ]
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        problems += [
            f"{name}:{_line(node, item['loc'])}: {_dotted(item['loc'])}: {_sentence(item)}"
            for item in error.errors()
        ]
        raise SettingsError(name, problems) from error
    if problems:
        raise SettingsError(name, problems)
    return settings


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of the file named by ``ALMANAC_CONFIG``, else the defaults."""
    return load(environment.get(SETTINGS_FILE_VARIABLE) or None)


def _leaves(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*where, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, (*where, index))
    else:
        yield where, value


def _line(node: yaml.Node | None, where: Sequence[Any]) -> int:
    """The line of the deepest key of ``where`` that the file holds, from 1."""
    line = 1
    for step in where:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(step):
                    line, node = key.start_mark.line + 1, value
                    break
            else:
                return line
        elif (
            isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value)
        ):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            return line
    return line


def _dotted(where: Sequence[Any]) -> str:
    return (
        "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where).lstrip(".")
        or "the file"
    )


def _sentence(item: Any) -> str:
    if item["type"] == "extra_forbidden":
        return "is not a known key; `almanac validate --schema` prints those that are"
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] in ("value_error", "missing"):
        return message
    return f"{message}, not {item['input']!r}"
