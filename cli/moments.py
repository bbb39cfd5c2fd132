"""Moments of the API, RFC 3339, as people speak of them."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = ((365 * 86_400, "year"), (30 * 86_400, "month"), (86_400, "day"), (3600, "hour"), (60, "minute"))


def since(moment: str | None) -> str:
    """How long ago it was: `3 days ago`; what is no moment as it is, empty for None."""
    seconds = _seconds_from_now(moment)
    if seconds is None:
        return moment or ""
    return "just now" if -seconds < 60 else f"{_rounded(-seconds)} ago"


def until(moment: str | None) -> str:
    """How long it is until then: `in 4 minutes`; what is no moment as it is, empty for None."""
    seconds = _seconds_from_now(moment)
    if seconds is None:
        return moment or ""
    # Ollama keeps a model for ever by a moment in three centuries.
    if seconds > 100 * _UNITS[0][0]:
        return "for ever"
    return "in moments" if seconds < 60 else f"in {_rounded(seconds)}"


def stamp(moment: str | None) -> str:
    """The same as in Ollama's log: `2026-11-28 02:30:28`, UTC."""
    return (moment or "").partition(".")[0].replace("T", " ").removesuffix("Z")


def _seconds_from_now(moment: str | None) -> float | None:
    try:
        return (datetime.fromisoformat(moment or "") - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None


def _rounded(seconds: float) -> str:
    length, name = next(unit for unit in _UNITS if seconds >= unit[0])
    count = int(seconds // length)
    return f"{count} {name}{'' if count == 1 else 's'}"
