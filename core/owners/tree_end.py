"""Finds out when a shim and its tree have ended, and how.

How it works: normally the shim ends last, after it has completed the run record, and both are simply awaited. Two cases
are different:

- The disk of the record hangs, so the shim cannot end. Once Ollama has ended, its tree is polled too; an empty tree
  whose shim does not end counts as the end, and how it ended stays unknown.
- The shim was killed. Then its guard stops the tree and completes the record, which takes a moment. If the guard was
  killed too, this module kills what is left (`end_orphans`) and completes the record in its place. On Windows there is
  no guard, and the kernel ends the tree.

Members that are alive after a kill (in an uninterruptible wait, or another user's) keep the tree from ending. They are
reported, and waited for.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from subprocess import Popen

import psutil

from core.errors import StopFailed
from core.owners.exit import UNRECORDED, Exit
from core.owners.run_record import NewerVersion, RunRecord, read_record, sweep_drafts
from core.platform import GUARDED, birth, end_orphans, has_guard, members, watch_end
from core.shim.record import SHIM_KILLED, WATCHERS_KILLED, record_killed_shim
from core.threads.single_flight import SingleFlight, within

log = logging.getLogger(__name__)

_RECORD_SECONDS = 5.0
_DISK_SECONDS = 1.0
_POLL_SECONDS = 0.02
_LONGEST_POLL_SECONDS = 1.0
_RETRY_SECONDS = 0.25
# How long the shim of an empty tree may take to end: the first while the record cannot be read, the second in any case.
# It waits some seconds for a pipe that a process outside the tree holds, and for the log.
_HANGING_SECONDS = 2.0
_EPILOGUE_SECONDS = 12.0


class TreeEnd:
    """The end of the run that `record`, the file `path`, describes. `popen` is the shim if it is our child.

    For the supervisor's loop; what blocks runs in threads.
    """

    def __init__(self, path: Path, record: RunRecord, popen: Popen[bytes] | None) -> None:
        self._path = path
        self._record = record
        self._shim = record.shim_pid, record.shim_birth
        self._popen = popen
        self._orphans: list[int] = []
        self._told: tuple[int, ...] = ()
        # While a disk hangs, one thread hangs with it and no more.
        self._reading = SingleFlight("run-record", lambda: read_record(path))

    async def wait(self, on_unkillable: Callable[[StopFailed], None]) -> Exit:
        """Contract: `protocol.Running.ended`. Call it once."""
        shim = asyncio.create_task(wait_end(*self._shim))
        hanging = asyncio.create_task(self._wait_while_shim_hangs(on_unkillable))
        try:
            await asyncio.wait([shim, hanging], return_when=asyncio.FIRST_COMPLETED)
            if not shim.done():
                hanging.result()
                log.warning(
                    "Ollama (pid %d) has ended, and its shim waits to say so in the run record", self._record.pid
                )
                if self._popen:
                    threading.Thread(target=self._popen.wait, name="reap", daemon=True).start()
                return Exit(None, UNRECORDED, None, ())
            shim.result()
        finally:
            shim.cancel()
            hanging.cancel()
        if self._popen:
            await asyncio.to_thread(self._popen.wait)
        record = await self._final_record(on_unkillable)
        reason = record.reason or (SHIM_KILLED if self._was_killed else UNRECORDED)
        return Exit(record.exit_code, reason, record.ended_at, record.last_lines)

    async def unkillable(self) -> tuple[int, ...]:
        """The members that are known to be alive although they were killed."""
        return (await self._newest_record()).unkillable or tuple(self._orphans)

    async def _wait_while_shim_hangs(self, on_unkillable: Callable[[StopFailed], None]) -> None:
        """Return once the tree is empty and the shim has had its time to complete the record and end."""
        await wait_end(self._record.pid, self._record.birth)
        pause = _POLL_SECONDS
        emptied_at = None
        while True:
            if await asyncio.to_thread(self._is_tree_empty):
                now = time.monotonic()
                emptied_at = emptied_at or now
                is_disk_answering = True
                try:
                    await self._reading.run(_DISK_SECONDS)
                except TimeoutError:
                    is_disk_answering = False
                except (OSError, NewerVersion):
                    pass
                if now - emptied_at >= (_EPILOGUE_SECONDS if is_disk_answering else _HANGING_SECONDS):
                    return
            else:
                emptied_at = None
                await self._report_unkillable(on_unkillable)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)

    def _is_tree_empty(self) -> bool:
        """Whether no process of a living shim's tree is alive. One that cannot be read counts as alive."""
        try:
            if birth(self._record.pid) == self._record.birth:
                return False
            process = psutil.Process(self._shim[0])
            command = process.cmdline()
            found = members(*self._shim) if GUARDED else [child.pid for child in process.children(recursive=True)]
            # The guard is a fork of the shim, so it has the same command line.
            return all(psutil.Process(pid).cmdline() == command for pid in found)
        except (psutil.Error, OSError):
            return False

    @property
    def _was_killed(self) -> bool:
        # An adopted shim is not our child, so its exit code is unknown. If it left no final record, assume that it was
        # killed. On Windows the killer chooses the code.
        return self._popen is None or self._popen.returncode < 0 or not GUARDED

    async def _report_unkillable(self, on_unkillable: Callable[[StopFailed], None]) -> None:
        left = await self.unkillable()
        if left and left != self._told:
            on_unkillable(await cannot_be_ended(left))
        self._told = left

    async def _final_record(self, on_unkillable: Callable[[StopFailed], None]) -> RunRecord:
        """How the run ended, as the shim or its guard recorded it, or else what is known. Waits for the tree."""
        deadline = time.monotonic() + _RECORD_SECONDS
        pause = _POLL_SECONDS
        while not (record := await self._newest_record()).ended_at:
            is_guarding = time.monotonic() < deadline or bool(record.unkillable)
            if not await asyncio.to_thread(self._is_anything_left, is_guarding):
                record = await self._newest_record()
                break
            await self._report_unkillable(on_unkillable)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)
        if GUARDED and self._was_killed and not record.ended_at:
            log.warning("shim %d and its guard were killed; ended what they had left", self._shim[0])
            final = str(self._path), self._shim[0], str(Path(self._record.log).parent), WATCHERS_KILLED
            with suppress(TimeoutError, OSError):
                await within(_DISK_SECONDS, "end of a killed shim", lambda: record_killed_shim(*final))
            record = await self._newest_record()
        with suppress(TimeoutError, OSError):
            await within(_DISK_SECONDS, "sweep", lambda: sweep_drafts(self._path))
        return record

    async def _newest_record(self) -> RunRecord:
        """What the shim or its guard has recorded by now; if that cannot be read at present, what we know already."""
        with suppress(TimeoutError, OSError, NewerVersion):
            record = await self._reading.run(_DISK_SECONDS)
            if record and record.shim_pid == self._shim[0]:
                return record
        return self._record

    def _is_anything_left(self, is_guarding: bool) -> bool:
        """Whether a process of an ended shim's tree is alive. While `is_guarding` a guard is left to end them.

        Without a guard they are killed here.
        """
        if not self._was_killed:
            return False
        try:
            if not GUARDED:
                # The kernel ends the tree, and takes a moment for it.
                return birth(self._record.pid) == self._record.birth
            if is_guarding and has_guard(*self._shim):
                return True
            left = end_orphans(*self._shim)
        except OSError:
            # Nothing could be read, so processes of the tree may be alive.
            return True
        # A guard that waits for a disk is not part of the tree.
        left = [pid for pid in left if not _is_guard(pid)]
        if left and left != self._orphans:
            log.warning(
                "shim %d and its guard were killed; pids they left that cannot be ended: %s", self._shim[0], left
            )
        self._orphans = left
        return bool(left)


async def wait_end(pid: int, born: str) -> None:
    """Return once that process has ended. It need not be our child. Takes neither a thread nor a wake-up meanwhile."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def on_end() -> None:
        # The loop may be closed by now.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set)

    end_watch: Callable[[], None] | None = None
    while end_watch is None:
        try:
            end_watch = watch_end(pid, born, on_end)
        except RuntimeError:
            # The system grants no thread at the moment.
            await asyncio.sleep(_RETRY_SECONDS)
    try:
        await ended.wait()
    finally:
        end_watch()


async def cannot_be_ended(pids: Iterable[int]) -> StopFailed:
    """The error for members of a tree that are alive although they were killed. Names each, for a person to find."""

    def names() -> str:
        found = []
        for pid in pids:
            try:
                process = psutil.Process(pid)
                found.append(f"pid {pid} ({process.name()}, of {process.username()}, {process.status()})")
            except (psutil.Error, OSError, KeyError):
                found.append(f"pid {pid}")
        return ", ".join(found)

    return StopFailed(
        f"Not all of Ollama can be ended, not even by a kill: {await asyncio.to_thread(names)}.",
        action="End it as its owner. If it waits for a driver or a disk, restart the machine.",
    )


def _is_guard(pid: int) -> bool:
    try:
        return not {"core.shim", "--shim"}.isdisjoint(psutil.Process(pid).cmdline())
    except (psutil.Error, OSError):
        return False
