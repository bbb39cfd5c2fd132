"""What the processes of one Ollama take together, and each of its model runners, from one measurement to the next.

Works in a thread: `TreeMeter.measure` blocks for some tenths of a millisecond.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from core.platform.usage import Usage, command_of, measure

_OLD_RUNNERS = ("ollama_llama_server", "llama-server")


@dataclass(frozen=True, slots=True)
class Runner:
    """One model runner. `weights` is the file of its model, as its command line names it, None if it names none.

    `cpu` is in cores, since the measurement before; None at the first one. `memory` is in bytes.
    """

    pid: int
    weights: str | None
    cpu: float | None
    memory: int
    threads: int


@dataclass(frozen=True, slots=True)
class Tree:
    """All processes of one Ollama at one moment, which is Unix time. What is not known is None.

    `cpu` is as in `Runner`; `cpu_seconds` only rises, also over the end of a process. `memory` is the sum of what is
    resident, in bytes: what processes share counts for each. `open_files` leaves out processes that do not tell, and is
    None if none does. `started_at` is of `ollama serve` itself.
    """

    at: float
    started_at: float
    processes: int | None
    cpu_seconds: float | None
    cpu: float | None
    memory: int | None
    threads: int | None
    open_files: int | None
    runners: tuple[Runner, ...] | None


class TreeMeter:
    """Measures one tree again and again. One thread at a time."""

    def __init__(self) -> None:
        self._used: dict[tuple[int, float], float] = {}
        """Processor seconds by process, as of the last measurement."""
        self._commands: dict[tuple[int, float], tuple[str, ...]] = {}
        self._cpu_seconds = 0.0
        self._measured_at = 0.0

    def measure(self, pids: Iterable[int]) -> Tree | None:
        """What those processes take, of which `ollama serve` is the first; None if that does not live."""
        now = time.monotonic()
        found = [usage for pid in pids if (usage := measure(pid))]
        if not found:
            self._used.clear()
            self._commands.clear()
            return None
        span = now - self._measured_at if self._used else None
        grown = {_key(usage): usage.cpu_seconds - self._used.get(_key(usage), 0.0) for usage in found}
        # What a process that is new has used since its birth is of this span too, unless all are.
        growth = sum(grown.values())
        self._cpu_seconds += growth
        self._used = {_key(usage): usage.cpu_seconds for usage in found}
        self._commands = {key: self._commands.get(key) or command_of(key[0]) for key in grown}
        self._measured_at = now
        files = [usage.open_files for usage in found if usage.open_files is not None]
        return Tree(
            time.time(),
            found[0].started_at,
            len(found),
            self._cpu_seconds,
            growth / span if span else None,
            sum(usage.memory for usage in found),
            sum(usage.threads for usage in found),
            sum(files) if files else None,
            tuple(self._runner(usage, grown[_key(usage)], span) for usage in found if self._is_runner(usage)),
        )

    def _is_runner(self, usage: Usage) -> bool:
        """Whether it is `ollama runner …`, or the program that older ones have for it."""
        command = self._commands[_key(usage)]
        name = PurePath(command[0]).name if command else ""
        return command[1:2] == ("runner",) or name.startswith(_OLD_RUNNERS)

    def _runner(self, usage: Usage, growth: float, span: float | None) -> Runner:
        weights = weights_in(self._commands[_key(usage)])
        return Runner(usage.pid, weights, growth / span if span else None, usage.memory, usage.threads)


def _key(usage: Usage) -> tuple[int, float]:
    return usage.pid, usage.started_at


def weights_in(command: tuple[str, ...]) -> str | None:
    """The model file that a runner's command line names: `--model FILE`, or `--model=FILE`."""
    for word, following in zip(command, (*command[1:], ""), strict=False):
        if word in ("--model", "-model", "-m") and following:
            return following
        if word.startswith("--model="):
            return word.removeprefix("--model=")
    return None
