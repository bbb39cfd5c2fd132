"""What must agree whenever nothing is under way: processes, port, status, run record and log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from core.logs.segments import PREFIX_BYTES
from core.owners.run_record import RunRecord
from core.platform import birth
from core.shim.record import EXITED, GUARD_STOPPED_IT, SHIM_KILLED, STOPPED, WATCHERS_KILLED
from tests.beds.wire import JsonObject, listens
from tests.chaos.place import Place

SETTLE_SECONDS = 2.0
LAST_WORDS = {
    None: ("Starting ",),
    STOPPED: ("Ollama stopped with exit code ",),
    EXITED: ("Ollama exited with exit code ",),
    SHIM_KILLED: (GUARD_STOPPED_IT, WATCHERS_KILLED),
}
"""How the last SYS line of a log may begin, by the reason in the run record."""


def settle(place: Place) -> None:
    """Return as soon as everything agrees; fail with what does not after 2 s."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while found := _disagreements(place):
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


def _disagreements(place: Place) -> list[str]:
    try:
        return list(disagreements(place))
    except psutil.NoSuchProcess as process:
        return [f"ended while it was looked at: {process}"]


def disagreements(place: Place) -> Iterator[str]:
    """Everything that contradicts something else, in words."""
    status, record = place.status(), place.record()
    processes, shims = place.processes(), place.shims()
    if len(shims) > 1:
        yield f"more than one shim: {shims}"
    if status["running"] != listens(place.port):
        yield f"the port {'refuses' if status['running'] else 'answers'}, but: {status}"
    if status["state"] == "running":
        yield from _while_running(place, status, record)
    elif processes:
        yield f"{status['state']}, but these live: {[(one, one.cmdline()) for one in processes]}"
    elif status["state"] not in ("stopped", "failed", "backoff"):
        yield f"nothing is under way, but: {status}"
    elif record and record.ended_at is None and (birth(record.shim_pid) or birth(record.pid)):
        yield f"nothing lives, but the record's pids do: {record}"
    yield from _last_word(place, record)
    if left := [path.name for path in place.paths.run.iterdir() if path.name.endswith((".spec.json", ".new"))]:
        yield f"left behind: {left}"


def _while_running(place: Place, status: JsonObject, record: RunRecord | None) -> Iterator[str]:
    if not status["running"]:
        yield f"its end is not told yet: {status}"
    if record is None or record.ended_at is not None:
        yield f"running, but the record says: {record}"
        return
    if not status["managedByApp"] or status["pid"] != record.pid:
        yield f"the record's Ollama is {record.pid}, but: {status}"
    if birth(record.shim_pid) != record.shim_birth or birth(record.pid) != record.birth:
        yield f"the record's processes are others or gone: {record}"
    shim = [one for one in place.shims() if one.pid == record.shim_pid]
    family = {one.pid for one in (shim[0].children(recursive=True) if shim else [])} | {one.pid for one in shim}
    if strays := [one for one in place.processes() if one.pid not in family]:
        yield f"outside the shim's tree: {strays}"
    if len(place.servers()) != 1:
        yield f"not one Ollama: {place.servers()}"
    if len(place.guards()) != 1:
        yield f"not one guard: {place.guards()}"


def _last_word(place: Place, record: RunRecord | None) -> Iterator[str]:
    notes = [line for line in place.newest_log() if line.startswith("[SYS]")]
    if not notes or record is None:
        return
    is_of_record = place.newest_start() == Path(record.log).name.split(".")[0]
    # A start whose shim was killed before it could write a record left no more than a log.
    words = LAST_WORDS[record.reason] if is_of_record else ("Starting ", GUARD_STOPPED_IT)
    if not notes[-1][PREFIX_BYTES:].startswith(words):
        yield f"the record says {record.reason!r}, but the log ends with {notes[-1]!r}"
