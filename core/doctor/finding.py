"""One thing that is wrong, and how much that matters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.errors import CoreError

NOT_CHECKED = "not_checked"
"""The code of a finding that tells of checks which could not be made."""


class Severity(StrEnum):
    """How much a finding matters, worst first."""

    BROKEN = "broken"
    """Something that is set up here does not work."""
    WARNING = "warning"
    """It works, and something may go wrong or is not as wished."""
    NOTE = "note"
    """Nothing is wrong with it, or a check could not be made."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is stable and for programs, `title` a short heading; `message` is what was seen, `action` the way out."""

    code: str
    severity: Severity
    title: str
    message: str
    action: str | None = None

    @classmethod
    def of(cls, error: CoreError, severity: Severity = Severity.BROKEN, *, action: str | None = None) -> Finding:
        """The error in its own words. `action` is the way out where the error knows none."""
        return cls(error.code, severity, error.title, error.message, error.action or action)


class NotChecked(Exception):
    """A check cannot be made; the text is the reason, as a part of a sentence."""
