"""What differs between the languages of notebooks: reading and writing parameters.

A language is a module with three functions: ``declared(source)`` reads the
parameters cell, ``assignments(values)`` writes the injected one, and
``is_name(text)`` says whether a text is a variable's name there.
"""

from __future__ import annotations

from types import ModuleType


def of(language: str) -> ModuleType | None:
    """The module for a kernel's language, in any case; None where there is none yet."""
    from hub_ext.bundles.languages import python, r

    return {"python": python, "r": r}.get(language.lower())


def finite(value: float) -> float | str:
    """A float as JSON: itself, or ``nan``, ``inf``, ``-inf``."""
    if value != value:
        return "nan"
    if value in (float("inf"), float("-inf")):
        return "inf" if value > 0 else "-inf"
    return value
