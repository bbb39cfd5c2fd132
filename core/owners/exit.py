"""How an Ollama that an owner ran has ended. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from core.logs.failure_cause import in_short

UNRECORDED = "not recorded"
"""The reason of an `Exit` whose shim ended by itself and could not write down why."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a managed Ollama ended. `code` is negative for a POSIX signal, None if nobody saw or could record it."""

    code: int | None
    reason: str
    ended_at: str | None
    last_lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"Ollama {self._how()}" + (f": {in_short(self.last_lines)}" if self.last_lines else "")

    def _how(self) -> str:
        if self.code is None and self.reason == UNRECORDED:
            return "ended, but how could not be recorded: the disk may be full, or hang"
        if self.code is None:
            return "was killed together with the program that watches over it"
        if self.code >= 0:
            return f"ended with exit code {self.code}"
        try:
            return f"was ended by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"was ended by signal {-self.code}"
