"""The parts of Almanac on one machine, as the table that the supervisor works off."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hub_ext import toolchain
from hub_ext.embedded import ports
from hub_ext.embedded.parts import Check, Part, Stops
from hub_ext.settings import SETTINGS_FILE_VARIABLE, NetworkSettings, Settings
from hub_ext.state import Endpoints, StateFolder

INHERITED = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "LOGNAME")
"""What parts get of the environment of `almanac up`, besides the network's variables."""

SECRETS = (
    "proxy-auth-token",
    "hub-cookie-secret",
    "jobs-api-token",
    "jobs-cookie-key",
    "auth-state-key",
    "operator-api-token",
    "store-admin-access-key",
    "store-admin-secret-key",
    "store-signing-key",
)
"""Made before the first part starts, so that no two of them make the same one."""

JOBS_HEALTH = "/services/jobs/api/v1/health"


@dataclass(frozen=True)
class Addresses:
    """Where each part listens, all of them on this machine but ``public``."""

    public_ip: str
    public_port: int
    proxy_api: int
    hub: int
    jobs: int

    @classmethod
    def choose(cls, public_ip: str, public_port: int) -> Addresses:
        """The public port as wished, or a free one for 0; free ones for the rest.

        Raises:
            ports.PortTaken, ports.CannotListen: the public port cannot be had.
        """
        if public_port:
            ports.require_free(public_ip, public_port)
        else:
            public_port = ports.free(1, public_ip)[0]
        inner = [port for port in ports.free(4) if port != public_port][:3]
        return cls(public_ip, public_port, *inner)

    @property
    def public_url(self) -> str:
        """For a browser on this machine: an address that means "all" is no place to go to."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.public_ip, self.public_ip)  # noqa: S104
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return f"http://{host}:{self.public_port}"

    def endpoints(self, store_url: str) -> Endpoints:
        return Endpoints(
            public_url=self.public_url,
            hub_api_url=f"http://127.0.0.1:{self.hub}/hub/api",
            proxy_api_url=f"http://127.0.0.1:{self.proxy_api}",
            jobs_url=f"http://127.0.0.1:{self.jobs}",
            store_url=store_url,
            pid=os.getpid(),
            listens_on=self.public_ip,
        )


def environment_of_parts(
    inherited: Mapping[str, str],
    network: NetworkSettings,
    state: StateFolder,
    settings_file: Path | None,
) -> dict[str, str]:
    """The environment of our own parts. An allow-list, and nothing secret in it."""
    binaries = str(Path(sys.prefix) / "bin")
    result = {name: inherited[name] for name in INHERITED if name in inherited}
    result |= network.environment(inherited)
    result |= {
        "PATH": os.pathsep.join([binaries, inherited.get("PATH") or os.defpath]),
        "LANG": inherited.get("LANG") or "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "ALMANAC_STATE": str(state.root),
    }
    if settings_file is not None:
        result[SETTINGS_FILE_VARIABLE] = str(settings_file)
    return result


def table(
    state: StateFolder,
    settings: Settings,
    addresses: Addresses,
    environment: Mapping[str, str],
    store: Part | None,
) -> list[Part]:
    """All parts.

    They start at once, together: each waits for the others where it has to
    (the hub asks for the proxy again and again), and what takes long is the
    same for all of them, the import of Python.

    Args:
        environment: as made by `environment_of_parts`.
        store: the embedded object store, or None where S3 is elsewhere.
    """
    # -P: the folder in which a part is started is no place to import from.
    python = (sys.executable, "-P", "-m", "hub_ext.quick")
    hub = f"http://127.0.0.1:{addresses.hub}"
    jobs = f"http://127.0.0.1:{addresses.jobs}"
    parts = [
        Part(
            name="proxy",
            title="Proxy",
            command=(
                str(toolchain.node()),
                str(toolchain.proxy_script()),
                *("--ip", addresses.public_ip, "--port", str(addresses.public_port)),
                *("--api-ip", "127.0.0.1", "--api-port", str(addresses.proxy_api)),
                # Until the hub has said where what is: "starting", not "not found".
                *("--default-target", hub),
                # The hub asks for the routes every two seconds.
                *("--log-level", "warn"),
            ),
            # It can take its secret from nowhere else.
            environment={
                **environment,
                "NODE_ENV": "production",
                "CONFIGPROXY_AUTH_TOKEN": state.secret("proxy-auth-token"),
            },
            cwd=state.runtime,
            check=Check(f"{addresses.public_url}/_chp_healthz"),
            address=addresses.public_url,
        ),
        Part(
            name="hub",
            title="JupyterHub",
            command=(
                *python,
                "jupyterhub",
                "-f",
                str(Path(__file__).with_name("jupyterhub_config.py")),
            ),
            environment=environment,
            cwd=state.runtime,
            check=Check(f"{hub}/hub/health"),
            address=hub,
            stops=Stops.BEFORE_WORK,
        ),
        Part(
            name="jobs",
            title="Job service",
            command=(*python, "hub_ext.jobs"),
            environment=environment,
            cwd=state.runtime,
            check=Check(jobs + JOBS_HEALTH),
            address=jobs,
            stops=Stops.BEFORE_WORK,
        ),
    ]
    return [store, *parts] if store is not None else parts


def gates(addresses: Addresses) -> list[Check]:
    """What a user needs to reach before all is ready: each through the proxy."""
    return [
        Check(f"{addresses.public_url}/hub/health"),
        Check(addresses.public_url + JOBS_HEALTH),
    ]


def store_part(state: StateFolder) -> tuple[Part, str]:
    """The embedded object store and its endpoint."""
    from hub_ext.storage.embedded import STOP_SECONDS, StorePorts, prepare, store_process

    process = store_process(state, StorePorts.of(state), toolchain.weed())

    def before() -> None:
        process.clean()
        prepare(state, process.ports)

    part = Part(
        name="store",
        title="Object store",
        command=process.argv,
        environment=process.env,
        cwd=process.cwd,
        check=Check(process.health_url),
        address=process.endpoint,
        stops=Stops.AFTER_WORK,
        grace=STOP_SECONDS,
        before=before,
        afterwards=process.clean,
    )
    process.cwd.mkdir(mode=0o700, parents=True, exist_ok=True)
    return part, process.endpoint
