"""The small process that owns one `ollama serve`: its pipes, its log, its exit code and its whole tree.

Run by `core.spawn` as `python -m core.shim SPEC` (frozen: `aura-ollama-shim --shim SPEC`), detached, so that a
sidecar that crashes or is upgraded takes nothing with it. Standard library only: it must be small and start at once.

SPEC is the path of a JSON file, deleted once the run record is written or the start has failed, with: `argv`, `env`
(additions), `cwd`, `logs` (folder), `caps` (`core.segments.Caps` by name), `record` (path), `grace` (seconds),
`stopEvent`, `port`, `url`.

The first line on stdout is the hand-over: `{"record": {…}}` once the child is spawned and the run record is written, or
`{"error": …}`, and then the shim ends with 1. After it stdout and stderr are closed to the caller.

The run record says who runs (`shimPid`, `shimBirth`, `pid`, `birth`, `executable`, `port`, `url`, `log`, `startedAt`,
`stopEvent`) and, at the end, how it ended (`exitCode`, `endedAt`, `reason`, `lastLines`).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time

from core import private_file
from core.heir import LogHeir, now, write_record
from core.platform import Tree, birth, merged_environment, unlink_file
from core.platform.event import Event
from core.pump import LogWriter, Pump
from core.redact import Redactor, secrets_of
from core.segments import Caps
from core.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from core.heir import Pipe, Record

STOPPED, EXITED = "stopped", "exited"
_LEFTOVER_GRACE_SECONDS = 1.0
_DRAIN_SECONDS = 2.0
_POLL_SECONDS = 0.02


def _read_spec(path: str) -> Record:
    spec: Record = json.loads(private_file.read(path))
    return spec


def _stop(tree: Tree, grace: float) -> bool:
    """Ask the tree to end, and kill what is left after `grace` seconds. Returns whether killing was needed."""
    deadline = time.monotonic() + grace
    while not tree.empty() and time.monotonic() < deadline:
        tree.ask()
        tree.next_event(_POLL_SECONDS)
    if tree.empty():
        return False
    tree.kill()
    return True


def _own(tree: Tree, grace: float, log: LogWriter) -> str:
    """Wait for the program's end or a request to stop, then leave nothing of the tree. Returns the reason."""
    asked = tree.next_event(None) is Event.STOP
    if asked:
        log.note(f"Stop was asked for; Ollama has {grace:g} s to end.")
    if _stop(tree, grace if asked else _LEFTOVER_GRACE_SECONDS):
        log.note("Something did not end when asked and was killed.")
    while tree.exit_code is None and tree.next_event(_LEFTOVER_GRACE_SECONDS) is Event.STOP:
        pass
    return STOPPED if asked else EXITED


def _hand_over(message: Record) -> None:
    # A sidecar that died meanwhile does not hear it; a later one will adopt.
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(message).encode() + b"\n")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def _spawn(spec: Record, log: LogWriter) -> tuple[Tree, list[Pump]]:
    out, err = os.pipe(), os.pipe()
    pipes: list[Pipe] = [(out[0], "OUT", Spool()), (err[0], "ERR", Spool())]
    env = merged_environment(spec["env"])
    # Ollama itself prints its environment, proxies included, when it starts.
    redactor = Redactor(secrets_of(env))
    heir = LogHeir(log, spec["logs"], Caps(**spec["caps"]), spec["record"], redactor, pipes)
    tree = Tree(spec["argv"], env, spec["cwd"], out[1], err[1], spec["stopEvent"], heir)
    for writer in (out[1], err[1]):
        os.close(writer)
    return tree, [Pump(reader, stream, log, redactor, spool) for reader, stream, spool in pipes]


def _first_record(spec: Record, tree: Tree, log: LogWriter) -> Record:
    return {
        "shimPid": os.getpid(),
        "shimBirth": birth(os.getpid()),
        "pid": tree.pid,
        "birth": tree.birth,
        "executable": spec["argv"][0],
        "port": spec["port"],
        "url": spec["url"],
        "log": log.path,
        "startedAt": now(),
        "stopEvent": spec["stopEvent"],
        "exitCode": None,
        "endedAt": None,
        "reason": None,
        "lastLines": [],
    }


def run(spec: Record, on_recorded: Callable[[], object]) -> None:
    """Own one child from spawn to burial. Raises OSError if it cannot be spawned or recorded; nothing is left then.

    `on_recorded` is called once the run record says who runs.
    """
    log = LogWriter(spec["logs"], Caps(**spec["caps"]))
    log.note(f"Starting {' '.join(spec['argv'])} for {spec['url']}")
    try:
        tree, pumps = _spawn(spec, log)
    except OSError as error:
        log.note(f"It could not be started: {error.strerror or error}")
        log.close(_DRAIN_SECONDS)
        raise
    record = _first_record(spec, tree, log)
    try:
        write_record(spec["record"], record)
    except OSError:
        tree.kill()
        tree.close()
        log.close(_DRAIN_SECONDS)
        raise
    on_recorded()
    for pump in pumps:
        pump.start()
    _hand_over({"record": record})

    reason = _own(tree, spec["grace"], log)
    # A process outside the tree may still hold a pipe: its end is not ours to wait for.
    for pump in pumps:
        pump.join(_DRAIN_SECONDS)
    log.note(f"Ollama {reason} with exit code {tree.exit_code}.")
    log.close(_DRAIN_SECONDS)
    ended = {"exitCode": tree.exit_code, "endedAt": now(), "reason": reason, "lastLines": log.last()}
    try:
        write_record(spec["record"], record | ended)
    finally:
        tree.close()


def main(spec_path: str) -> int:
    """The shim's whole life. Returns the exit code for the process: 0, or 1 if nothing was spawned."""
    # The environment in the spec may hold secrets, so it does not stay on disk. While it lies there, a next sidecar
    # knows that a start is under way whose record it should wait for.
    try:
        run(_read_spec(spec_path), lambda: unlink_file(spec_path))
    except OSError as error:
        unlink_file(spec_path)
        _hand_over({"error": {"errno": error.errno, "text": error.strerror or str(error), "path": error.filename}})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
