"""The small files of the `run` folder by which sidecars and shims know of each other: run records, specs, drafts."""

from __future__ import annotations

import errno
import fnmatch
import json
import logging
import stat
from contextlib import suppress
from pathlib import Path

import msgspec

from core import files
from core.platform import birth, unlink_private

log = logging.getLogger(__name__)


class RunRecord(msgspec.Struct, frozen=True, rename="camel"):
    """What a shim wrote about its child, `run/ollama-<port>.json`. `core.shim` tells the fields."""

    shim_pid: int
    shim_birth: str
    pid: int
    birth: str
    executable: str
    port: int
    url: str
    log: str
    started_at: str
    stop_event: str
    exit_code: int | None = None
    ended_at: str | None = None
    reason: str | None = None
    last_lines: tuple[str, ...] = ()
    unkillable: tuple[int, ...] = ()


def record_path(run_dir: Path, port: int) -> Path:
    """Where the run record of the Ollama on that port lies."""
    return run_dir / f"ollama-{port}.json"


def spec_path(run_dir: Path, port: int) -> Path:
    """Where the shim to come on that port finds what it shall do."""
    return run_dir / f"ollama-{port}.spec.json"


def to_record(content: object) -> RunRecord:
    """The run record that decoded JSON holds. Raises ValueError if it is none."""
    try:
        return msgspec.convert(content, RunRecord)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error


def read_record(path: Path) -> RunRecord | None:
    """The run record, None if there is none, it is damaged, or others may have written it.

    Raises OSError if it cannot be read: too many files are open, a virus scanner holds it, or a folder is in its place.
    That says nothing of what is in it, so try again.
    """
    try:
        # The standard decoder, as in the shim: a path in it that is no text has half a surrogate pair for each byte.
        return to_record(json.loads(files.read(str(path))))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EFBIG) and not stat.S_ISDIR(path.lstat().st_mode):
            return None
        raise


def files_in(run_dir: Path, pattern: str) -> list[Path]:
    """The files with names like `pattern`, sorted; none if there is no such folder. Raises OSError."""
    # What a folder's own `glob` makes of a folder that cannot be read differs between versions of Python.
    try:
        return sorted(path for path in run_dir.iterdir() if fnmatch.fnmatch(path.name, pattern))
    except FileNotFoundError:
        return []


def sweep(run_dir: Path) -> None:
    """Delete what a killed sidecar or shim had no time to delete: specs, which may hold secrets, and drafts.

    As far as that is possible at present; what is left is logged, or left for the next time.
    """
    with suppress(OSError):
        for path in files_in(run_dir, "ollama-*.spec.json"):
            if not unlink_private(str(path)):
                log.warning("%s cannot be deleted", path)
        sweep_drafts(run_dir)


def sweep_drafts(run_dir: Path) -> None:
    """Delete the drafts that nobody is about to put in place any more. Raises OSError if they cannot be listed."""
    for draft in files_in(run_dir, "*.new"):
        # Its name ends in the writer's pid and `.new`; a living shim may be about to put it in place.
        writer = draft.name.split(".")[-2]
        with suppress(OSError):
            if writer.isdecimal() and birth(int(writer)) is None:
                unlink_private(str(draft))
