"""How uv is started: with the network's settings, and nothing of anybody's project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

# Of a server's or a service's environment these would lead uv elsewhere.
_DROPPED = re.compile(
    r"VIRTUAL_ENV|CONDA_.*|PYTHON.*|UV_(PROJECT.*|PYTHON|SYSTEM_PYTHON|WORKING_DIR.*|"
    r"REQUIRE_HASHES|NO_VERIFY_HASHES|TARGET|PREFIX|BREAK_SYSTEM_PACKAGES|CONSTRAINT|OVERRIDE)|"
    r"(ALMANAC|JUPYTER|JUPYTERHUB|AWS)_.*"
)
_TRANSLATED = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_TRUSTED_HOST": "UV_INSECURE_HOST",
    "PIP_CERT": "SSL_CERT_FILE",
}


def uv_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment for uv.

    What an institute has set for pip holds for uv too, where uv has no
    setting of its own. Interpreters are never downloaded: a run that begins
    by fetching a Python from somewhere is not what anybody asked for.
    """
    result = {name: value for name, value in env.items() if not _DROPPED.fullmatch(name)}
    for pip, ours in _TRANSLATED.items():
        if value := env.get(pip):
            result.setdefault(ours, value)
    if (folders := env.get("PIP_FIND_LINKS")) and "UV_FIND_LINKS" not in result:
        # uv fails where one is missing; pip does not.
        usable = [item for item in folders.split() if "://" in item or Path(item).is_dir()]
        if usable:
            result["UV_FIND_LINKS"] = ",".join(usable)
    result.setdefault("UV_PYTHON_DOWNLOADS", "never")
    result["UV_NO_PROGRESS"] = "1"
    return result


def explain(stderr: str, *, limit: int = 600) -> str:
    """What uv said, on one line, without credentials in addresses."""
    text = " ".join(stderr.split()).removeprefix("error: ")
    text = re.sub(r"://[^/\s@]+@", "://", text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
