"""The small process that owns one `ollama serve`: its pipes, its log, its exit code and its whole tree.

Run by `core.owners.shim_start` with the command line that `core.owners.bundle` makes, which ends in `core.shim SPEC`
(frozen: `--shim SPEC`), detached, so that a sidecar that crashes or is upgraded takes nothing with it. Standard library
only: it must be small and start at once.

SPEC is the path of a JSON file (`core.shim.spec`), deleted once the run record is written or the start has failed. One
of a version that this shim does not know is left as it is, and nothing is started.

The first line on stdout is the hand-over: `{"record": {…}}` once the child is spawned and the run record is written, or
`{"error": …}`, and then the shim ends with 1. After it stdout and stderr are closed to the caller.

The run record says by whose rules it is written (`version`), who runs (`instance`, `shimPid`, `shimBirth`, `pid`,
`birth`, `executable`, `port`, `url`, `log`, `startedAt`, `stopEvent`), which members of its tree live on though they
were killed (`unkillable`, pids), and, at the end, how it ended (`exitCode`, `endedAt`, `reason`, `lastLines`).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time

from core import files
from core.logs.redact import Redactor, secrets_of
from core.logs.segments import Caps
from core.platform import Tree, birth, merged_environment, unlink_private
from core.platform.event import Event
from core.shim.pump import Pump
from core.shim.record import EXITED, STOPPED, VERSION, cannot_be_ended, now, update_record, write_record
from core.shim.spec import NewerVersion, Spec
from core.shim.spool import Spool
from core.shim.successor import LogSuccessor
from core.shim.writer import LogWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from core.shim.record import Pipe, Record

_LEFTOVER_GRACE_SECONDS = 1.0
_DRAIN_SECONDS = 2.0
_KILL_SECONDS = 2.0
_FIRST_POLL_SECONDS = 0.02
_LONGEST_POLL_SECONDS = 0.2
_OUTLAST_SECONDS = 5.0


def _stop(tree: Tree, grace: float) -> bool:
    """Ask the tree to end, and wait `grace` seconds for that. Returns whether it did."""
    deadline = time.monotonic() + grace
    pause = _FIRST_POLL_SECONDS
    while not tree.empty():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        tree.ask()
        tree.next_event(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)
    return True


def _kill(tree: Tree, log: LogWriter, on_unkillable: Callable[[list[int]], None]) -> None:
    """Kill the tree. Returns once no process of it is left, however long that takes.

    `on_unkillable` is called with the pids that are still alive, at each change, and with none at the end.
    """
    told: list[int] = []
    left = _kill_once(tree, _KILL_SECONDS)
    pause = _FIRST_POLL_SECONDS
    while left != []:
        if left and left != told:
            told = left
            log.note(cannot_be_ended(left))
            on_unkillable(left)
        tree.next_event(pause)
        pause = min(pause * 1.5, _OUTLAST_SECONDS)
        left = _kill_once(tree, 0)
    if told:
        on_unkillable([])


def _kill_once(tree: Tree, seconds: float) -> list[int] | None:
    """The pids still alive after `seconds`; None if that cannot be read."""
    try:
        return tree.kill(seconds)
    except OSError:
        return None


def _hand_over(message: Record) -> None:
    # If the sidecar has died meanwhile, a later one adopts this shim.
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(message).encode() + b"\n")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def _first_record(spec: Spec, tree: Tree, log: LogWriter) -> Record:
    return {
        "version": VERSION,
        "instance": spec.instance,
        "shimPid": os.getpid(),
        "shimBirth": birth(os.getpid()),
        "pid": tree.pid,
        "birth": tree.birth,
        "executable": spec.argv[0],
        "port": spec.port,
        "url": spec.url,
        "log": log.path,
        "startedAt": now(),
        "stopEvent": spec.stop_event,
        "exitCode": None,
        "endedAt": None,
        "reason": None,
        "lastLines": [],
        "unkillable": [],
    }


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def run(spec: Spec, on_recorded: Callable[[], object]) -> None:
    """Own one child from its start to its final record. `on_recorded` is called once the run record names the child.

    Raises OSError if it cannot be spawned or recorded, ValueError if no process can be given such arguments. Nothing is
    left then.
    """
    log = LogWriter(spec.logs, Caps(**spec.caps))
    log.note(f"Starting {' '.join(spec.argv)} for {spec.url}")
    try:
        out, err = os.pipe(), os.pipe()
        pipes: list[Pipe] = [(out[0], "OUT", Spool()), (err[0], "ERR", Spool())]
        env = merged_environment(spec.env)
        # Ollama itself prints its environment, proxies included, when it starts.
        redactor = Redactor(secrets_of(env))
        successor = LogSuccessor(log, spec.logs, Caps(**spec.caps), spec.record, redactor, pipes)
        tree = Tree(spec.argv, env, spec.cwd, out[1], err[1], spec.stop_event, successor)
    except (OSError, ValueError) as error:
        log.note(f"It could not be started: {_words(error)}")
        log.close(_DRAIN_SECONDS)
        raise
    for writer in (out[1], err[1]):
        os.close(writer)
    pumps = [Pump(reader, stream, log, redactor, spool) for reader, stream, spool in pipes]
    record = _first_record(spec, tree, log)
    try:
        write_record(spec.record, record)
    except OSError:
        _kill(tree, log, lambda unkillable: None)
        tree.close()
        log.close(_DRAIN_SECONDS)
        raise
    on_recorded()
    for pump in pumps:
        pump.start()
    _hand_over({"record": record})

    def record_unkillable(pids: list[int]) -> None:
        record["unkillable"] = pids
        # The log has it too.
        with contextlib.suppress(OSError):
            update_record(spec.record, record)

    is_stop = tree.next_event(None) is Event.STOP
    if is_stop:
        log.note(f"Stop was asked for; Ollama has {spec.grace:g} s to end.")
    if not _stop(tree, spec.grace if is_stop else _LEFTOVER_GRACE_SECONDS):
        log.note("Something did not end when asked and is killed.")
        _kill(tree, log, record_unkillable)
    while tree.exit_code is None and tree.next_event(_LEFTOVER_GRACE_SECONDS) is Event.STOP:
        pass
    reason = STOPPED if is_stop else EXITED
    # A process outside the tree may still hold a pipe, so its end is awaited only for a moment.
    for pump in pumps:
        pump.join(_DRAIN_SECONDS)
    log.note(f"Ollama {reason} with exit code {tree.exit_code}.")
    log.close(_DRAIN_SECONDS)
    ended = {"exitCode": tree.exit_code, "endedAt": now(), "reason": reason, "lastLines": log.last()}
    try:
        update_record(spec.record, record | ended)
    finally:
        tree.close()


def main(spec_path: str) -> int:
    """The shim's whole life. Returns the exit code for the process: 0, or 1 if nothing was spawned."""
    # The environment in the spec may hold secrets, so the spec does not stay on disk. As long as it is there, a later
    # sidecar knows that a start is under way, and waits for its record.
    try:
        run(Spec.from_json(files.read(spec_path)), lambda: unlink_private(spec_path))
    except NewerVersion as error:
        _hand_over({"error": {"text": f"{_words(error)} ({spec_path})"}})
        return 1
    except (OSError, ValueError) as error:
        # ValueError: an argument or a variable that no process can have, such as one with a NUL.
        unlink_private(spec_path)
        place = {"errno": error.errno, "path": error.filename} if isinstance(error, OSError) else {}
        _hand_over({"error": {"text": _words(error), **place}})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
