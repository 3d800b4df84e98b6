"""Text that people and programs send, made sure of before it is stored."""

from __future__ import annotations

from hub_ext.errors import Invalid
from hub_ext.jobs import schedule
from hub_ext.jobs.schemas import ScheduleIn

NAME_LIMIT = 100
PATH_LIMIT = 1000
PROSE_LIMIT = 10_000


def name(value: str, field: str = "name") -> str:
    """A job's name, blanks at its ends cut off.

    Raises:
        Invalid: empty, too long, or with characters that cannot be seen.
    """
    value = value.strip()
    if not value:
        raise Invalid("The job has no name.", mend="Give it one.", field=field)
    if len(value) > NAME_LIMIT or not value.isprintable():
        raise Invalid(
            "The name is too long or holds characters that cannot be seen.",
            mend=f"A name has 1 to {NAME_LIMIT} printable characters.",
            field=field,
        )
    return value


def path(value: str, field: str) -> str:
    if len(value) > PATH_LIMIT or not (value.isprintable() or not value):
        raise Invalid(
            "The path is too long or holds characters that cannot be seen.",
            mend=f"A path has at most {PATH_LIMIT} printable characters.",
            field=field,
        )
    return value


def prose(value: str, field: str) -> str:
    """A description or a reason, over several lines perhaps."""
    if len(value) > PROSE_LIMIT or not all(c.isprintable() or c in "\n\t\r" for c in value):
        raise Invalid(
            "The text is too long or holds characters that cannot be seen.",
            mend=f"Write at most {PROSE_LIMIT} printable characters.",
            field=field,
        )
    return value


def when(wanted: ScheduleIn | None) -> schedule.Schedule | None:
    """A schedule that makes sense, or none.

    Raises:
        Invalid: with ``field`` ``schedule.cron`` or ``schedule.timezone``.
    """
    return schedule.parse(wanted.cron, wanted.timezone) if wanted else None
