"""How much of a list is asked for, and from where on."""

from __future__ import annotations

from hub_ext.errors import Invalid

LARGEST_PAGE = 200


def checked(limit: int, cursor: str | None) -> tuple[int, str | None]:
    """The two as they came.

    Raises:
        Invalid: with ``field`` ``limit`` or ``cursor``.
    """
    if not 1 <= limit <= LARGEST_PAGE:
        raise Invalid(
            f"A page cannot have {limit} entries.",
            mend=f"Ask for 1 to {LARGEST_PAGE}.",
            field="limit",
        )
    if cursor is not None and not (0 < len(cursor) <= 64 and cursor.isascii() and cursor.isalnum()):
        raise unknown_cursor()
    return limit, cursor


def unknown_cursor() -> Invalid:
    return Invalid(
        "The cursor is not one of this list.",
        mend="Send the `next` of the page before, or none.",
        field="cursor",
    )
