"""Names of files that may be in a bundle, and so on any machine that unpacks it."""

from __future__ import annotations

_COMPONENT_LIMIT = 255
_LIMIT = 1000


class FileNameError(ValueError):
    """The end of a sentence that begins with the name: ``holds a backslash``."""


def check_file_name(name: str) -> str:
    """The name, if it is a plain relative path with forward slashes.

    Raises:
        FileNameError: it could lead out of its folder, or cannot be stored.
    """
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:
        raise FileNameError("is not valid UTF-8") from error
    if not name.isprintable():
        raise FileNameError("holds characters that cannot be printed")
    if "\\" in name:
        raise FileNameError("holds a backslash")
    if len(encoded) > _LIMIT:
        raise FileNameError("is too long")
    for component in name.split("/"):
        if component in ("", ".", ".."):
            raise FileNameError("is not a plain relative path")
        if len(component.encode()) > _COMPONENT_LIMIT:
            raise FileNameError("is too long")
    return name
