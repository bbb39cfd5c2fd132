"""The run record: what a shim writes about its Ollama, and how its end is recorded if the shim was killed.

Standard library only, because shim and guard import it.
"""

from __future__ import annotations

import contextlib
import json
import time

from core import files
from core.logs.tail import append_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    from core.shim.spool import Spool

    Record = dict[str, Any]
    Pipe = tuple[int, Literal["OUT", "ERR"], Spool]

VERSION = 1
"""Of the run records that this release writes; it reads all up to this one. `core.shim.spec` says when it rises."""

STOPPED, EXITED, SHIM_KILLED = "stopped", "exited", "shim killed"
"""The values of `reason`: Ollama was stopped, ended by itself, or lost its shim."""
GUARD_STOPPED_IT = "The shim was killed; its guard stopped Ollama and everything it had started."
WATCHERS_KILLED = "The shim and its guard were killed; the sidecar ended what they had left of Ollama."
_READ_SECONDS = 1.0
_POLL_SECONDS = 0.05


def now() -> str:
    """The present time, UTC, as run records have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def cannot_be_ended(pids: list[int]) -> str:
    """The log's line about members of a tree that are alive after SIGKILL."""
    who = ", ".join(map(str, pids))
    return f"Not even a kill ends pid {who}: another user's, or waiting for a driver or a disk. Its end is waited for."


def write_record(path: str, record: Record) -> None:
    """Write the run record atomically. Raises OSError, with the old one left as it was."""
    files.write(path, json.dumps(record, indent=1))


def update_record(path: str, record: Record) -> None:
    """Write what has changed in a shim's own record, unless another shim's has taken its place. Raises OSError."""
    with contextlib.suppress(OSError, ValueError, AttributeError, RecursionError):
        # One that cannot be read, or holds nothing of the kind, is written over.
        if json.loads(files.read(path)).get("shimPid", record["shimPid"]) != record["shimPid"]:
            return
    write_record(path, record)


def record_killed_shim(record_path: str, shim_pid: int, log_folder: str | None, words: str) -> None:
    """Record the end of a killed shim's tree in its run record, and append `words` to the newest log in `log_folder`.

    Called by the shim's guard, or by the sidecar if the guard was killed too, once the tree has ended. Changes nothing
    if the shim had recorded the end itself; a record of another shim stays as it is. Blocks on the disk. Raises nothing
    if the disk refuses.
    """
    record = record_of(record_path, shim_pid)
    if record.get("endedAt"):
        return
    with contextlib.suppress(OSError):
        if log_folder:
            append_line(log_folder, "SYS", words)
    with contextlib.suppress(OSError):
        if record:
            write_record(
                record_path, record | {"exitCode": None, "endedAt": now(), "reason": SHIM_KILLED, "unkillable": []}
            )


def record_of(path: str, shim_pid: int) -> Record:
    """The record at that path if it is that shim's, else empty. Blocks for 1 s at most if the disk refuses to read."""
    deadline = time.monotonic() + _READ_SECONDS
    while True:
        try:
            record: Record = json.loads(files.read(path))
        except (FileNotFoundError, ValueError):
            return {}
        except OSError:
            if time.monotonic() >= deadline:
                return {}
            time.sleep(_POLL_SECONDS)
        else:
            return record if record.get("shimPid") == shim_pid else {}
