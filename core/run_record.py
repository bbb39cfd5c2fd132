"""The small files of the `run` folder by which sidecars and shims know of each other: run records, specs, drafts."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

import msgspec

from core import private_file
from core.decode import from_json
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


def record_path(run_dir: Path, port: int) -> Path:
    """Where the run record of the Ollama on that port lies."""
    return run_dir / f"ollama-{port}.json"


def spec_path(run_dir: Path, port: int) -> Path:
    """Where the shim to come on that port finds what it shall do."""
    return run_dir / f"ollama-{port}.spec.json"


def read_record(path: Path) -> RunRecord | None:
    """The run record, None if there is none, it is damaged, or others may have written it."""
    try:
        return from_json(private_file.read(str(path)).encode(), RunRecord)
    except (OSError, msgspec.MsgspecError):
        return None


def sweep(run_dir: Path) -> None:
    """Delete what a killed sidecar or shim had no time to delete: specs, which may hold secrets, and drafts."""
    for path in run_dir.glob("ollama-*.spec.json"):
        if not unlink_private(str(path)):
            log.warning("%s cannot be deleted", path)
    sweep_drafts(run_dir)


def sweep_drafts(run_dir: Path) -> None:
    for draft in run_dir.glob("*.new"):
        # Its name ends in the writer's pid and `.new`; a living shim may be about to put it in place.
        writer = draft.name.split(".")[-2]
        with suppress(OSError):
            if writer.isdecimal() and birth(int(writer)) is None:
                unlink_private(str(draft))
