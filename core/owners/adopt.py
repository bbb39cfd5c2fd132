"""Takes over the Ollamas that an earlier sidecar left running, as far as their run records prove them to be ours.

How it works: pids are reused, so a record alone proves nothing. It proves a live Ollama to be ours if shim and Ollama
match in pid and birth, the shim's command line names this run folder, and the Ollama is the shim's child. A record that
claims a run and does not match is set aside as `….stale` and logged. A record that cannot be read at present, or whose
processes cannot, says nothing: it is read again, for 5 s at first, and stays where it is for a later try. A record of a
later version is logged and left alone. Nothing is signalled.

A shim whose sidecar was killed in the middle of a start may not have written its record yet. Its spec still lies in the
run folder and in its command line, so it is waited for, 5 s at most.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from core.owners.bundle import shim_program
from core.owners.process import Managed
from core.owners.run_record import NewerVersion, RunRecord, read_record, records_in, specs_in, sweep_all
from core.platform import birth, replace_private

log = logging.getLogger(__name__)

_BIRTH_SECONDS = 5.0
_READ_SECONDS = 5.0
_POLL_SECONDS = 0.02


class Adoption(NamedTuple):
    """The Ollamas that are ours, and the run records that cannot be read at present."""

    found: list[Managed]
    unread: list[Path]


def adopt(run_dir: Path, grace: float) -> Adoption:
    """Every live shim that the records in `run_dir` prove to be ours, of every instance. Takes 10 s at most.

    Call it once, before the first start: it deletes specs that no shim is about to read. Records of the release before
    this have no version, and a port in place of the instance; they belong to the instance `default`.

    Blocks; call it in a thread.
    """
    # The program may be upgraded or removed before its first start of a shim.
    with suppress(OSError):
        shim_program()
    newer: set[Path] = set()
    deadline = time.monotonic() + _READ_SECONDS
    while (adoption := _adopt_once(run_dir, grace, newer)).unread and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    if adoption.unread:
        names = ", ".join(map(str, adoption.unread))
        log.warning("%s cannot be read; an Ollama of which that tells counts as somebody else's until then", names)
    for path in sorted(newer):
        log.warning("%s was written by a later version of aura-ollama; left alone, nothing was signalled", path)
    return adoption


def adopt_late(run_dir: Path, grace: float) -> Adoption:
    """As `adopt`, but at any time: it waits for nothing, and deletes nothing that a start may need.

    Blocks; call it in a thread.
    """
    return _examine_all(run_dir, grace, set())


def _adopt_once(run_dir: Path, grace: float, newer: set[Path]) -> Adoption:
    try:
        deadline = time.monotonic() + _BIRTH_SECONDS
        for spec in specs_in(run_dir):
            while spec.exists() and time.monotonic() < deadline:
                commands = (process.info["cmdline"] or () for process in psutil.process_iter(["cmdline"]))
                if not any(str(spec) in command for command in commands):
                    break
                time.sleep(_POLL_SECONDS)
        newer.update(sweep_all(run_dir))
    except (OSError, psutil.AccessDenied):
        return Adoption([], [run_dir])
    return _examine_all(run_dir, grace, newer)


def _examine_all(run_dir: Path, grace: float, newer: set[Path]) -> Adoption:
    """Examine every record, and add those of a later version to `newer`."""
    found: dict[Path, Managed] = {}
    unread = []
    try:
        paths = records_in(run_dir)
    except OSError:
        return Adoption([], [run_dir])
    for path in paths:
        try:
            if not _examine(path, run_dir, grace, found):
                unread.append(path)
        except NewerVersion:
            newer.add(path)
    return Adoption(list(found.values()), unread)


def _examine(path: Path, run_dir: Path, grace: float, found: dict[Path, Managed]) -> bool:
    """Add to `found` what the record proves, or set it aside if it is false. False if it cannot be read at present.

    Raises NewerVersion.
    """
    try:
        record = read_record(path)
        if record and record.ended_at:
            return True
        if record and _is_ours(record, run_dir):
            found[path] = Managed(path, record, grace)
            return True
    except (OSError, psutil.AccessDenied):
        return False
    what = f"claims pid {record.pid}, which is not it" if record else "is damaged, or not ours"
    log.warning("run record %s %s; set aside, nothing was signalled", path.name, what)
    with suppress(OSError):
        replace_private(str(path), str(path.with_suffix(".stale")))
    return True


def _is_ours(record: RunRecord, run_dir: Path) -> bool:
    """Whether the record is true. Raises OSError or psutil.AccessDenied if that cannot be read."""
    if birth(record.shim_pid) != record.shim_birth:
        return False
    try:
        command = psutil.Process(record.shim_pid).cmdline()
        if not command or not {"core.shim", "--shim"} & set(command):
            return False
        # The same folder may have another path: through a link, or on Windows by its short name.
        if not Path(command[-1]).parent.samefile(run_dir):
            return False
        if birth(record.pid) is None:
            return True
        return birth(record.pid) == record.birth and psutil.Process(record.pid).ppid() == record.shim_pid
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False
