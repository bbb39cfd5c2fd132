"""The small files of the `run` folder by which sidecars and shims know of each other: run records, specs, drafts.

Each instance has its own: `<id>.json`, `<id>.spec.json`, and drafts of both, `<file>.<pid of the writer>.new`. The
release before this wrote `ollama-<port>` in place of the id; such files are read, and never written.
`core.settings.paths.is_instance_id` says which ids are allowed: none may be the name of another file in the folder.
"""

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
from core.settings.paths import DEFAULT_INSTANCE, instance_id, is_run_file_stem
from core.shim import record as shim_record
from core.shim import spec as shim_spec
from core.shim.spec import NewerVersion as NewerVersion
from core.shim.spec import require_known

log = logging.getLogger(__name__)

_RECORD, _SPEC = ".json", ".spec.json"


class RunRecord(msgspec.Struct, frozen=True, rename="camel"):
    """What a shim wrote about its child, `run/<id>.json`. `core.shim.main` documents the fields."""

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
    version: int = 0
    """0: written by the release before this, which wrote no version and had one instance only."""
    instance: str = DEFAULT_INSTANCE
    exit_code: int | None = None
    ended_at: str | None = None
    reason: str | None = None
    last_lines: tuple[str, ...] = ()
    unkillable: tuple[int, ...] = ()


def record_path(run_dir: Path, instance: str = DEFAULT_INSTANCE) -> Path:
    """The path of that instance's run record. Raises ConfigError if no instance can have that id."""
    return run_dir / f"{instance_id(instance)}{_RECORD}"


def spec_path(run_dir: Path, instance: str = DEFAULT_INSTANCE) -> Path:
    """The path of the spec that the instance's next shim reads. Raises ConfigError if no instance can have that id."""
    return run_dir / f"{instance_id(instance)}{_SPEC}"


def to_record(content: object) -> RunRecord:
    """The run record in decoded JSON. Raises ValueError if it is none, NewerVersion if a later release wrote it."""
    require_known(content, shim_record.VERSION)
    try:
        return msgspec.convert(content, RunRecord)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error


def read_record(path: Path) -> RunRecord | None:
    """The run record, None if there is none, it is damaged, or others may have written it.

    Raises OSError if it cannot be read: too many files are open, a virus scanner holds it, or a folder is in its place.
    Its content is unknown then, so try again later. Raises NewerVersion if a later release wrote it.
    """
    try:
        # The standard decoder, as in the shim, because it accepts the lone surrogates of a path that is not UTF-8.
        return to_record(json.loads(files.read(str(path))))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EFBIG) and not stat.S_ISDIR(path.lstat().st_mode):
            return None
        raise


def records_in(run_dir: Path) -> list[Path]:
    """All run records, of whichever instance or version, sorted. Raises OSError."""
    return [path for path in _files_in(run_dir, f"*{_RECORD}") if is_run_file_stem(path.name.removesuffix(_RECORD))]


def specs_in(run_dir: Path) -> list[Path]:
    """All specs, of whichever instance or version, sorted. Raises OSError."""
    return [path for path in _files_in(run_dir, f"*{_SPEC}") if is_run_file_stem(path.name.removesuffix(_SPEC))]


def _files_in(run_dir: Path, pattern: str) -> list[Path]:
    # `Path.glob` treats an unreadable folder differently in each version of Python.
    try:
        return sorted(path for path in run_dir.iterdir() if fnmatch.fnmatchcase(path.name, pattern))
    except FileNotFoundError:
        return []


def sweep_all(run_dir: Path) -> list[Path]:
    """Delete the specs, which may hold secrets, and the drafts that killed sidecars and shims left.

    It deletes those of every instance, so call it before the first start. Specs that cannot be deleted are logged.
    Returns the specs of a later version, which stay.
    """
    newer = []
    with suppress(OSError):
        for path in specs_in(run_dir):
            if _is_newer_spec(path):
                newer.append(path)
            elif not unlink_private(str(path)):
                log.warning("%s cannot be deleted", path)
        _sweep_drafts(run_dir, "*.new")
    return newer


def sweep(run_dir: Path, instance: str) -> None:
    """Delete the spec and the drafts that a start of that instance left, and no other instance's files."""
    with suppress(OSError):
        spec = spec_path(run_dir, instance)
        if not _is_newer_spec(spec) and not unlink_private(str(spec)):
            log.warning("%s cannot be deleted", spec)
        sweep_drafts(spec)
        sweep_drafts(record_path(run_dir, instance))


def sweep_drafts(path: Path) -> None:
    """Delete the drafts of that file whose writer has ended. Raises OSError if they cannot be listed."""
    _sweep_drafts(path.parent, f"{path.name}.*.new")


def _sweep_drafts(folder: Path, pattern: str) -> None:
    for draft in _files_in(folder, pattern):
        # The name ends in the writer's pid and `.new`. A living writer may be about to rename its draft.
        writer = draft.name.split(".")[-2]
        with suppress(OSError):
            if writer.isdecimal() and birth(int(writer)) is None:
                unlink_private(str(draft))


def _is_newer_spec(path: Path) -> bool:
    try:
        require_known(json.loads(files.read(str(path))), shim_spec.VERSION)
    except NewerVersion:
        return True
    except (OSError, ValueError, RecursionError):
        pass
    return False
