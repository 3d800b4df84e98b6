"""Generates the reference pages from what they describe, before Sphinx reads them.

A page that is written by hand ages; these cannot: settings come from the
pydantic models, commands from the typer application, roles from the role
table, the REST API from the OpenAPI document, and the contents managers from
their traits and handlers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

GENERATED = Path(__file__).resolve().parents[1] / "reference" / "generated"


def settings_page() -> str:
    from hub_ext.settings import Settings

    schema = Settings.model_json_schema()
    definitions = schema.get("$defs", {})
    lines = ["# Settings: almanac.yaml", "", _flow(schema.get("description", "")), ""]
    lines += [
        "`almanac validate FILE` checks a file against this page, `almanac validate --schema`",
        "prints the JSON Schema. A key that is not listed here is a mistake, at any level.",
        "",
    ]
    for name, member in schema["properties"].items():
        section = _section(member, definitions)
        lines += [f"## `{name}`", ""]
        description = member.get("description") or (section or {}).get("description", "")
        lines += [_flow(description), ""]
        if section:
            if member.get("type") == "array":
                lines += ["A list; each entry has these keys:", ""]
            lines += _table(section, definitions)
        lines.append("")
    return "\n".join(lines)


def _section(member: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any] | None:
    reference = member.get("$ref") or member.get("items", {}).get("$ref")
    for option in member.get("allOf", []):
        reference = reference or option.get("$ref")
    return definitions.get(reference.rsplit("/", 1)[-1]) if reference else None


def _table(section: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    yield "| key | type | default | what it does |"
    yield "| --- | --- | --- | --- |"
    required = section.get("required", [])
    for key, member in section["properties"].items():
        default = "required" if key in required else f"`{_shown(member.get('default'))}`"
        yield f"| `{key}` | {_type(member)} | {default} | {_flow(member.get('description', ''))} |"


def _shown(value: Any) -> str:
    return (
        {None: "null", True: "true", False: "false"}[value]
        if value is None or isinstance(value, bool)
        else value
        if not isinstance(value, (list, dict))
        else str(value).replace("'", "")
    )


def _type(member: dict[str, Any]) -> str:
    if "enum" in member:
        return " or ".join(f"`{value}`" for value in member["enum"])
    if "anyOf" in member:
        return " or ".join(dict.fromkeys(_type(option) for option in member["anyOf"]))
    if member.get("type") == "array":
        return f"list of {_type(member.get('items', {}))}"
    return {"object": "mapping", "null": "null"}.get(
        member.get("type", ""), member.get("type", "text")
    )


def _flow(text: str) -> str:
    """One paragraph per line, so that it can stand in a table; roles of reST become code."""
    return " ".join(text.replace("``", "`").split()).replace("|", "\\|")


def commands_page() -> str:
    import typer

    from hub_ext.cli import app

    command = typer.main.get_command(app)
    lines = ["# Commands: almanac", "", "Every command explains itself with `--help`.", ""]
    lines += _command(command, "almanac", 2)
    return "\n".join(lines)


def _command(command: Any, name: str, level: int) -> Iterator[str]:
    for child_name, child in sorted(getattr(command, "commands", {}).items()):
        full = f"{name} {child_name}"
        if getattr(child, "commands", None):
            yield from [f"{'#' * level} `{full}`", "", (child.help or "").strip(), ""]
            yield from _command(child, full, level + 1)
            continue
        usage = " ".join(
            [full, *(_argument(p) for p in child.params if p.param_type_name == "argument")]
        )
        text = (child.help or "").replace("\b", "").replace("\f", "").strip()
        yield from [f"{'#' * level} `{full}`", "", f"`{usage} [options]`", "", text, ""]
        rows = [
            f"| `{', '.join([*parameter.opts, *parameter.secondary_opts])}` "
            f"| {_flow(parameter.help or '')} |"
            for parameter in child.params
            if parameter.param_type_name == "option" and not getattr(parameter, "hidden", False)
        ]
        rows += [
            f"| `{parameter.name.upper()}` | {_flow(getattr(parameter, 'help', '') or '')} |"
            for parameter in child.params
            if parameter.param_type_name == "argument"
        ]
        if rows:
            yield from ["| option | what it does |", "| --- | --- |", *rows, ""]


def _argument(parameter: Any) -> str:
    name = parameter.name.upper()
    return name if parameter.required else f"[{name}]"


def roles_page() -> str:
    from hub_ext.auth import roles

    return "\n".join(["# Roles and rights", "", roles.markdown(), ""])


def api_page() -> str:
    from fastapi import FastAPI

    from hub_ext.jobs import api

    application = FastAPI(title="Almanac job service")
    application.include_router(api.api)
    document = application.openapi()
    lines = [
        "# REST API of the job service",
        "",
        "Errors are problem documents (RFC 9457) with a stable `code`, and with `field` where one",
        "is at fault. Lists are paged: pass `next` back as `cursor`. A write takes an",
        "`Idempotency-Key`.",
        "The full OpenAPI document is served at `/services/jobs/api/v1/openapi.json`.",
        "",
        "| method | path | what it does |",
        "| --- | --- | --- |",
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            text = operation.get("description") or operation.get("summary") or ""
            lines.append(f"| {method.upper()} | `{path}` | {_flow(text.split('Raises:')[0])} |")
    return "\n".join([*lines, ""])


def contents_page() -> str:
    from lab_extension.contents import RootsContentsManager, S3ContentsManager
    from lab_extension.contents.rest.sharing import Sharing

    lines = [
        "# Settings of the file systems",
        "",
        'For `jupyter_server_config.py`, as `c.S3ContentsManager.bucket = "data"`, or for the',
        "command line, as `--S3ContentsManager.bucket=data`. Those that every contents manager of",
        "Jupyter Server has (`allow_hidden`, `hide_globs`, `pre_save_hook`, …) are in its own",
        "documentation, and are observed here too.",
        "",
    ]
    for described, introduction in (
        (S3ContentsManager, "One bucket, or one folder of it, as the files of a server."),
        (RootsContentsManager, "What Almanac gives each server: `work`, `home` and `projects`."),
        (Sharing, "Share links, where no platform says what is allowed."),
    ):
        lines += [f"## `{described.__name__}`", "", introduction, ""]
        lines += ["| setting | type | default | what it does |", "| --- | --- | --- | --- |"]
        for name, trait in sorted(described.class_traits(config=True).items()):
            # Jupyter's own are documented there.
            if trait.this_class.__module__.partition(".")[0] == "lab_extension":
                lines.append(_trait(name, trait))
        lines.append("")
    return "\n".join(lines)


def _trait(name: str, trait: Any) -> str:
    from traitlets import Undefined

    kind = {"Unicode": "text", "Bool": "boolean", "Int": "integer", "Float": "number"}
    kind |= {"Type": "class", "Any": "anything", "List": "list"}
    default = trait.default_value
    if isinstance(default, type):
        default = default.__name__
    # One that depends on the environment is told in words.
    told = "efault:" in trait.help or "By default" in trait.help or default in ("", None, Undefined)
    shown = "" if told else f"`{_shown(default)}`"
    return f"| `{name}` | {kind[type(trait).__name__]} | {shown} | {_flow(trait.help)} |"


STORAGE = {
    "info": ("path", "`path, kind` (`disk` or `object`)`, root, writable, uri, versions, share`"),
    "code": ("path", "`items`: of each `id, label, language, code`"),
    "share": ("path, seconds", "`url, expires, note`"),
    "versions": (
        "path, limit, after",
        "`items`: of each `version, modified, size, latest, deleted, path`",
    ),
    "restore": ("path, version", "the file's model, as the contents API gives it, without content"),
    "deleted": (
        "path, limit, after",
        "`items`: of each `path, name, version, size, deleted_at, recoverable_until`; `versions`",
    ),
    "undelete": ("items: of each path, version", "`restored`: the paths"),
    "usage": ("", "`roots`: of each `root, title, size, objects, limit, writable, as_of`"),
}
"""What each is asked with and answers; a handler that is not listed stops the documentation."""


def storage_api_page() -> str:
    from jupyter_server.serverapp import ServerApp

    from lab_extension.contents.rest import api
    from lab_extension.service import JobService

    lines = [
        "# REST API of object storage in a server",
        "",
        "Below `<server>/almanac/api`, for the file browser and for whoever is signed in to the",
        "server: with its cookie (a write then needs the XSRF token, as with all of Jupyter",
        "Server) or its token. GET takes a query, POST a JSON object, in which a member that is",
        "not listed is an error. Errors are problem documents (RFC 9457) with a stable `code`, and",
        "with `field` where one is at fault. Paths are those of the contents API. A list that is",
        "not whole has `next`: pass it back as `after`.",
        "",
        "| method | path | takes | answers | what it does |",
        "| --- | --- | --- | --- | --- |",
    ]
    for path, handler, _ in api.handlers(ServerApp(), JobService.from_environment()):
        takes, answers = STORAGE[path.rpartition("/")[2]]
        method = "GET" if handler.get.__qualname__.startswith(handler.__name__) else "POST"
        names = "`" + takes + "`" if takes else ""
        lines.append(f"| {method} | `{path}` | {names} | {answers} | {_flow(handler.__doc__)} |")
    lines += [
        "",
        "The contents API of Jupyter Server has two additions where files are in object",
        "storage. The model of a PUT may carry `base_hash`: the `hash` of what was edited, or null",
        "for a file that must not be there yet. If it is otherwise meanwhile, the answer is 409",
        'with `"reason": "changed"`, and nothing was written. And each answer to a PUT has the',
        "`hash` of what was written.",
        "",
    ]
    return "\n".join(lines)


PAGES = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "roles.md": roles_page,
    "api.md": api_page,
    "contents.md": contents_page,
    "storage-api.md": storage_api_page,
}


def generate(_app: Any = None) -> None:
    GENERATED.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        path, text = GENERATED / name, make()
        # Left alone when nothing changed, so that Sphinx need not read it again.
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, Any]:
    app.connect("builder-inited", generate)
    return {"parallel_read_safe": True}
