"""Checks of the data folder and its disk: whose it is, what kind of disk, room, logs, and the clock by its files.

The clock is compared with what was written here before: a file that is to be written only tomorrow shows that the clock
is behind now, or was ahead then. A clock that is ahead now cannot be told without asking another machine.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import core
from core.doctor.case import READ_SECONDS, Case
from core.doctor.finding import Finding, Severity
from core.errors import WAYS_OUT, os_error_in_words
from core.logs.segments import listed, size_of
from core.platform import check_private_dir, who_else_may_write
from core.platform.volume import volume_of
from core.settings.paths import Paths, is_instance_id
from core.text import size_text
from core.threads.single_flight import within

_DAY = 86_400.0
_FULL_BYTES = 1 << 20
_NEARLY_FULL_BYTES = 64 << 20
_ELSEWHERE = "Keep AuraData on another disk: choose its folder with --data-dir or AURA_DATA_PATH."
_YOURS_ALONE = "Make it yours alone, or choose another data folder."


async def folder(case: Case) -> Iterable[Finding]:
    """The data folder is this user's alone and can be written, or can be made."""
    data, run = case.paths.data, case.paths.run

    def look() -> tuple[str, str] | None:
        if not data.exists():
            return _why_not_made(data)
        if not data.is_dir():
            return f"{data} is not a folder.", "Move it away, or choose another data folder."
        if who := who_else_may_write(str(data), data.stat()):
            return f"{data} is not used: {who}.", _YOURS_ALONE
        if not os.access(data, os.W_OK | os.X_OK):
            volume = volume_of(str(data))
            why = "its disk is mounted read-only" if volume and volume.is_read_only else "this user has no right to"
            return f"{data} cannot be written: {why}.", _YOURS_ALONE
        try:
            check_private_dir(str(run))
        except FileNotFoundError:
            return None
        except OSError as error:
            return os_error_in_words(error) + ".", WAYS_OUT.get(error.errno or 0, _YOURS_ALONE)
        return None

    try:
        found = await within(READ_SECONDS, "data folder", look)
    except TimeoutError:
        found = f"{data} cannot be used: its disk does not answer.", "See to that disk or network drive."
    return [Finding("data_folder", Severity.BROKEN, "The data folder cannot be used", *found)] if found else []


def _why_not_made(data: Path) -> tuple[str, str] | None:
    """Why a data folder that is not there cannot be made at the first start, and the way out; None if it can."""
    if data.is_symlink():
        return f"{data} is a link to {data.readlink()}, which does not exist.", "Bring its disk back."
    there = next(place for place in data.parents if place.exists())
    if os.access(there, os.W_OK | os.X_OK):
        return None
    return f"{data} is not there, and cannot be made: {there} may not be written.", _YOURS_ALONE


async def disk(case: Case) -> Iterable[Finding]:
    """The data folder lies on a disk of this machine that keeps rights and has room."""
    data = case.paths.data

    def look() -> list[Finding]:
        found = []
        volume = volume_of(str(data))
        if volume and volume.is_network:
            message = f"{data} lies on a network drive ({volume.kind} at {volume.place})."
            message += " While that does not answer, settings, logs and records cannot be read or written."
            found.append(
                Finding("data_on_network", Severity.WARNING, "The data folder is on a network", message, _ELSEWHERE)
            )
        if volume and not volume.keeps_rights:
            message = f"{data} lies on {volume.kind} at {volume.place}, which keeps no rights of users."
            found.append(
                Finding("data_without_rights", Severity.WARNING, "Its disk keeps no rights", message, _ELSEWHERE)
            )
        there = next(place for place in (data, *data.parents) if place.exists())
        free = shutil.disk_usage(there).free
        if free < _NEARLY_FULL_BYTES:
            is_full = free < _FULL_BYTES
            found.append(
                Finding(
                    "disk_full" if is_full else "disk_nearly_full",
                    Severity.BROKEN if is_full else Severity.WARNING,
                    "The data folder's disk is full" if is_full else "The data folder's disk is nearly full",
                    f"The disk that holds {data} has {size_text(free)} free.",
                    "Make room on the disk that holds AuraData.",
                )
            )
        return found

    return await within(READ_SECONDS, "data disk", look)


async def logs(case: Case) -> Iterable[Finding]:
    """The logs of each instance are within their cap."""
    own = (await case.settings()).sidecar
    top, option = case.paths.logs, case.paths.option

    def look() -> list[Finding]:
        folders = [top]
        with suppress(OSError):
            folders += [place for place in top.iterdir() if is_instance_id(place.name) and place.is_dir()]
        found = []
        for place in folders:
            total = sum(size_of(segment.path) for segment in listed(str(place)))
            if total > own.log_total_bytes:
                message = (
                    f"{place} holds {size_text(total)} of log; `logTotalBytes` allows {size_text(own.log_total_bytes)}."
                )
                way_out = (
                    f"Raise `logTotalBytes`, or have the next start delete the oldest: aura-ollama restart{option}"
                )
                found.append(Finding("log_over_cap", Severity.WARNING, "The log is over its cap", message, way_out))
        return found

    return await within(READ_SECONDS, "logs", look)


async def clock(case: Case) -> Iterable[Finding]:
    """The clock is not before what has been written already."""

    def newest() -> tuple[float, Path] | None:
        return max(filter(None, map(_written, _dated_files(case.paths))), default=None)

    latest = await within(READ_SECONDS, "dates", newest)
    now = time.time()
    if latest is None or latest[0] - now <= _DAY:
        return []
    return [
        Finding(
            "clock_wrong",
            Severity.WARNING,
            "The clock is wrong, or was",
            f"The clock says {_date(now)} (UTC), but {latest[1]} was written on {_date(latest[0])}.",
            "Have the system set its clock from the network (on Linux: sudo timedatectl set-ntp true); while it is far "
            "off, no model can be downloaded. If the clock is right, that file was written while it was not.",
        )
    ]


def _dated_files(paths: Paths) -> list[Path]:
    # The program itself was installed before it was run; a frozen one is a file of its own.
    found = [Path(core.__file__), Path(sys.executable), paths.settings, paths.sidecar]
    found += [paths.run / "token", paths.run / "sidecar.json", paths.run / "default.json"]
    with suppress(OSError):
        found += [Path(segment.path) for segment in listed(str(paths.logs))[-2:]]
    return found


def _written(path: Path) -> tuple[float, Path] | None:
    with suppress(OSError):
        return path.stat().st_mtime, path
    return None


def _date(seconds: float) -> str:
    # A broken clock may say a year that Python knows no date for.
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
    return f"{seconds:.0f} s after 1970"
