"""The order of moments that files state: by the clock of whoever made them, which may have been wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

SLACK = timedelta(days=1)
"""How far a clock may be ahead of this one."""


def order(moment: str) -> str:
    """A key that sorts moments (ISO 8601) by time, the oldest first; empty for no moment and for one yet to come."""
    found = _parsed(moment)
    if found is None or _ahead(found):
        return ""
    try:
        return found.astimezone(UTC).isoformat(timespec="microseconds")
    except OverflowError:
        return ""


def to_come(moment: str) -> bool:
    """Whether a moment or day has not come yet."""
    found = _parsed(moment)
    return found is not None and _ahead(found)


def _ahead(moment: datetime) -> bool:
    return moment > datetime.now(UTC) + SLACK


def _parsed(moment: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(moment)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except ValueError:
        return None
