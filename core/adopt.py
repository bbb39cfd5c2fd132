"""Takes over the Ollamas that an earlier sidecar left running, as far as their run records prove them to be ours."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path

import psutil

from core.platform import birth, replace_private
from core.process import Managed
from core.run_record import RunRecord, read_record, sweep

log = logging.getLogger(__name__)

_BIRTH_SECONDS = 5.0
_POLL_SECONDS = 0.02


def adopt(run_dir: Path, grace: float) -> list[Managed]:
    """Every live shim that the records in `run_dir` prove to be ours. Nothing is signalled.

    A record proves it if shim and Ollama match in pid and birth, the shim's command line names this run folder, and
    the Ollama is the shim's child. A shim whose sidecar was killed in the middle of a start is about to write its
    record, and is waited for, 5 s at most. Records that claim a run but do not match are set aside as `….stale` and
    reported.
    """
    _await_births(run_dir)
    sweep(run_dir)
    found = []
    for path in sorted(run_dir.glob("ollama-*.json")):
        record = read_record(path)
        if record and record.ended_at:
            continue
        if record and _is_ours(record, run_dir):
            found.append(Managed(path, record, grace))
        else:
            _set_aside(path, record)
    return found


def _await_births(run_dir: Path) -> None:
    deadline = time.monotonic() + _BIRTH_SECONDS
    for spec in run_dir.glob("ollama-*.spec.json"):
        while spec.exists() and _is_in_use(spec) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def _is_in_use(spec: Path) -> bool:
    return any(str(spec) in (process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))


def _is_ours(record: RunRecord, run_dir: Path) -> bool:
    if birth(record.shim_pid) != record.shim_birth:
        return False
    try:
        command = psutil.Process(record.shim_pid).cmdline()
        if not command or not {"core.shim", "--shim"} & set(command):
            return False
        # The same folder may have been named in another way: through a link, or on Windows by its short name.
        if not Path(command[-1]).parent.samefile(run_dir):
            return False
        if birth(record.pid) is None:
            return True
        return birth(record.pid) == record.birth and psutil.Process(record.pid).ppid() == record.shim_pid
    except (psutil.Error, OSError):
        return False


def _set_aside(path: Path, record: RunRecord | None) -> None:
    what = f"claims pid {record.pid}, which is not it" if record else "is damaged, or not ours"
    log.warning("run record %s %s; set aside, nothing was signalled", path.name, what)
    with suppress(OSError):
        replace_private(str(path), str(path.with_suffix(".stale")))
