"""How an Ollama that an owner ran has ended. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum

from core.logs.failure_cause import in_short

UNRECORDED = "not recorded"
"""The reason of an `Exit` whose shim ended by itself and could not record why."""


class Sequel(Enum):
    """Who decides what follows an end that nobody wished for here."""

    OURS = "ours"
    """We do: it may be started again, as `restartOnCrash` says."""
    RESTARTED = "restarted"
    """Its owner starts it again by itself, or has done so already; `Owner.attend` tells of the new one."""
    LEFT = "left"
    """Its owner has given up on it, and we respect that: it crashed, and stays down."""
    STOPPED = "stopped"
    """Somebody else had its owner stop it. It is no crash, and it stays down."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a managed Ollama ended. `code` is negative for a POSIX signal, None if it is unknown.

    `ended_at` is UTC; `last_lines` are the last lines that it printed.
    """

    code: int | None
    reason: str
    ended_at: str | None
    last_lines: tuple[str, ...] = ()
    sequel: Sequel = Sequel.OURS

    def __str__(self) -> str:
        if self.code is None and self.sequel is not Sequel.OURS:
            how = self.reason
        elif self.code is None and self.reason == UNRECORDED:
            how = "ended, but how could not be recorded: the disk may be full, or hang"
        elif self.code is None:
            how = "was killed together with the program that watches over it"
        elif self.code >= 0:
            how = f"ended with exit code {self.code}"
        else:
            try:
                how = f"was ended by {signal.Signals(-self.code).name}"
            except ValueError:
                how = f"was ended by signal {-self.code}"
        return f"Ollama {how}" + (f": {in_short(self.last_lines)}" if self.last_lines else "")
