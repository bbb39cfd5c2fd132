"""A live shim and its Ollama, as `process_owner` runs it: ask it to stop, hear of its end. Never acts on a bare pid.

Blocking work runs in threads, with a deadline where a disk may hang; the coroutines belong to the supervisor's loop.
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

from core.errors import WAYS_OUT as WAYS_OUT
from core.errors import StopFailed
from core.owners.exit import UNRECORDED, Exit
from core.owners.logs import FolderLogs
from core.owners.run_record import NewerVersion, RunRecord, read_record, sweep_drafts
from core.platform import GUARDED, ask_shim, birth, end_orphans, has_guard, kill, members, watch_end
from core.platform.usage import descendants
from core.shim.record import SHIM_KILLED, WATCHERS_KILLED, record_killed_shim
from core.threads.single_flight import SingleFlight, within

log = logging.getLogger(__name__)

_STOP_MARGIN_SECONDS = 6.0
_RECORD_SECONDS = 5.0
_DISK_SECONDS = 1.0
_POLL_SECONDS = 0.02
_LONGEST_POLL_SECONDS = 1.0
_CHECK_SECONDS = 0.5
_RETRY_SECONDS = 0.25
# How long an empty tree's shim may take to end: the first while the record cannot be read, the second in any case. It
# waits some seconds for a pipe that a process outside the tree holds, and for the log.
_HANGING_SECONDS = 2.0
_EPILOGUE_SECONDS = 12.0


class Managed:
    """A live shim, spawned or adopted, and its Ollama. Only `shim_start` and `adopt` make one.

    Contract: `protocol.Running`. `record` is what the shim wrote when it started.
    """

    def __init__(self, path: Path, record: RunRecord, grace: float, popen: Popen[bytes] | None = None) -> None:
        self.record = record
        self.grace = grace
        self._path = path
        self._popen = popen
        self._ended = asyncio.Event()
        self._orphans: list[int] = []
        self._told: tuple[int, ...] = ()
        # While a disk hangs, one thread hangs with it and no more.
        self._reading = SingleFlight("run-record", lambda: read_record(path))

    @property
    def instance(self) -> str:
        """Contract: `Running.instance`."""
        return self.record.instance

    @property
    def url(self) -> str:
        """Contract: `Running.url`."""
        return self.record.url

    @property
    def pid(self) -> int:
        """Contract: `Running.pid`."""
        return self.record.pid

    @property
    def logs(self) -> FolderLogs:
        """Contract: `Running.logs`."""
        return FolderLogs(Path(self.record.log).parent)

    async def ended(self, on_outlasted: Callable[[StopFailed], None] = lambda error: None) -> Exit:
        """Return once the shim has ended and its tree with it. Let one task do this, once.

        `on_outlasted` hears of members that outlive their Ollama though they were killed, once for each set of them.

        A shim that cannot end, because the disk of its record hangs, is not waited for once its tree has ended: it then
        stays until the disk answers.
        """
        if not await self._has_shim_ended(on_outlasted):
            log.warning("Ollama (pid %d) has ended, and its shim waits to say so in the run record", self.record.pid)
            if self._popen:
                threading.Thread(target=self._popen.wait, name="reap", daemon=True).start()
            self._ended.set()
            return Exit(None, UNRECORDED, None, ())
        if self._popen:
            await asyncio.to_thread(self._popen.wait)
        record = await self._final_record(on_outlasted)
        self._ended.set()
        reason = record.reason or (SHIM_KILLED if self._was_killed else UNRECORDED)
        return Exit(record.exit_code, reason, record.ended_at, record.last_lines)

    async def _has_shim_ended(self, on_outlasted: Callable[[StopFailed], None]) -> bool:
        """Wait for the shim's end: True; or until it only waits for a disk, with nothing left of its tree: False."""
        shim = asyncio.create_task(wait_end(self.record.shim_pid, self.record.shim_birth))
        idling = asyncio.create_task(self._idles(on_outlasted))
        try:
            await asyncio.wait([shim, idling], return_when=asyncio.FIRST_COMPLETED)
            if not shim.done():
                idling.result()
                return False
            shim.result()
            return True
        finally:
            shim.cancel()
            idling.cancel()

    async def _idles(self, on_outlasted: Callable[[StopFailed], None]) -> None:
        """Return once nothing of the tree lives and the shim has had its time to say so in the record."""
        await wait_end(self.record.pid, self.record.birth)
        pause = _POLL_SECONDS
        emptied_at = None
        while True:
            if await asyncio.to_thread(self._is_tree_empty):
                now = time.monotonic()
                emptied_at = emptied_at or now
                if now - emptied_at >= (_EPILOGUE_SECONDS if await self._is_disk_answering() else _HANGING_SECONDS):
                    return
            else:
                emptied_at = None
                await self._tell(on_outlasted)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)

    def _is_tree_empty(self) -> bool:
        """Whether nothing of a living shim's tree lives. What cannot be looked at counts as alive."""
        shim = self.record.shim_pid, self.record.shim_birth
        try:
            if birth(self.record.pid) == self.record.birth:
                return False
            process = psutil.Process(shim[0])
            command = process.cmdline()
            found = members(*shim) if GUARDED else [child.pid for child in process.children(recursive=True)]
            # The guard is a fork of the shim.
            return all(psutil.Process(pid).cmdline() == command for pid in found)
        except (psutil.Error, OSError):
            return False

    async def _is_disk_answering(self) -> bool:
        try:
            await self._reading.run(_DISK_SECONDS)
        except TimeoutError:
            return False
        except (OSError, NewerVersion):
            pass
        return True

    @property
    def _was_killed(self) -> bool:
        # An adopted shim is not our child, so its exit code is unknown. If it left no final record, assume that it was
        # killed. On Windows the killer chooses the code.
        return self._popen is None or self._popen.returncode < 0 or not GUARDED

    async def _tell(self, on_outlasted: Callable[[StopFailed], None]) -> None:
        left = await self._left()
        if left and left != self._told:
            on_outlasted(await _cannot_be_ended(left))
        self._told = left

    async def _left(self) -> tuple[int, ...]:
        """The members that live on though they were killed, as far as anybody has told."""
        return (await self._newest_record()).unkillable or tuple(self._orphans)

    async def _final_record(self, on_outlasted: Callable[[StopFailed], None]) -> RunRecord:
        """How the run ended, as the shim or its guard recorded it, or else as far as it is known. Waits for the tree.

        A killed shim's guard needs a moment to stop the tree and to say so. If it was killed too, its work is done
        here.
        """
        deadline = time.monotonic() + _RECORD_SECONDS
        pause = _POLL_SECONDS
        while True:
            record = await self._newest_record()
            if record.ended_at:
                break
            is_guarding = time.monotonic() < deadline or bool(record.unkillable)
            if not await asyncio.to_thread(self._is_anything_left, is_guarding):
                record = await self._end_leftovers()
                break
            await self._tell(on_outlasted)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)
        with suppress(TimeoutError, OSError):
            await within(_DISK_SECONDS, "sweep", lambda: sweep_drafts(self._path))
        return record

    async def _newest_record(self) -> RunRecord:
        """What the shim or its guard has recorded by now; what we know already if that cannot be read at present."""
        with suppress(TimeoutError, OSError, NewerVersion):
            record = await self._reading.run(_DISK_SECONDS)
            if record and record.shim_pid == self.record.shim_pid:
                return record
        return self.record

    def _is_anything_left(self, is_guarding: bool) -> bool:
        """Whether anything of an ended shim's tree lives on. A guard is given its time; without one, all is killed."""
        if not self._was_killed:
            return False
        shim = self.record.shim_pid, self.record.shim_birth
        try:
            if not GUARDED:
                # The kernel ends the tree, and takes a moment for it.
                return birth(self.record.pid) == self.record.birth
            if is_guarding and has_guard(*shim):
                return True
            left = end_orphans(*shim)
        except OSError:
            # That nothing can be looked up does not mean that there is nothing.
            return True
        # A guard that waits for a disk is no part of what it guards.
        left = [pid for pid in left if not _is_guard(pid)]
        if left and left != self._orphans:
            log.warning("shim %d and its guard were killed; pids they left that cannot be ended: %s", shim[0], left)
        self._orphans = left
        return bool(left)

    async def _end_leftovers(self) -> RunRecord:
        """Do what the guard of a killed shim should have done: it was killed too."""
        if GUARDED and self._was_killed and not (await self._newest_record()).ended_at:
            log.warning("shim %d and its guard were killed; ended what they had left", self.record.shim_pid)
            words = str(self._path), self.record.shim_pid, str(Path(self.record.log).parent), WATCHERS_KILLED
            with suppress(TimeoutError, OSError):
                await within(_DISK_SECONDS, "record_killed_shim", lambda: record_killed_shim(*words))
        return await self._newest_record()

    async def stop(self) -> None:
        """Ask the shim to stop its tree, and kill the shim if it does not obey: its guard ends the tree then.

        Needs a task that awaits `ended`. Raises StopFailed if the tree cannot be asked, or outlives even a kill: then
        those who watch over it stay, and `ended` tells of its end when it comes.
        """
        shim = self.record.shim_pid, self.record.shim_birth
        try:
            await asyncio.to_thread(ask_shim, *shim, self.record.stop_event)
            if await self.gone_within(self.grace + _STOP_MARGIN_SECONDS):
                return
            await asyncio.to_thread(kill, *shim)
        except OSError as error:
            raise StopFailed(
                f"Ollama (pid {self.record.pid}) cannot be asked to end: {error.strerror or error}.",
                action=WAYS_OUT.get(error.errno or 0),
            ) from error
        if not await self.gone_within(_STOP_MARGIN_SECONDS):
            raise StopFailed(f"Ollama (pid {self.record.pid}) does not end, not even when killed.")

    async def gone_within(self, timeout: float) -> bool:
        """Wait for the end; False if it does not come. Raises StopFailed if it cannot come at present."""
        deadline = time.monotonic() + timeout
        while not await self.gone(min(_CHECK_SECONDS, max(0.0, deadline - time.monotonic()))):
            if left := await self._left():
                raise await _cannot_be_ended(left)
            if time.monotonic() >= deadline:
                return False
        return True

    async def gone(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the end that `ended` tells; False if it does not come."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), timeout)
        return self._ended.is_set()

    def owns(self, pid: int) -> bool:
        """Whether `pid` is our Ollama or one of its descendants. Reads the process table: call it in a thread."""
        try:
            family = {pid, *(parent.pid for parent in psutil.Process(pid).parents())}
        except (psutil.Error, OSError):
            return False
        return not family.isdisjoint({self.record.pid, self.record.shim_pid})

    def usage(self) -> tuple[int, ...]:
        """Contract: `Running.usage`."""
        try:
            if birth(self.record.pid) != self.record.birth:
                return ()
            return self.record.pid, *descendants(self.record.pid)
        except OSError:
            return ()

    def let_go(self) -> None:
        """Leave the shim and its Ollama running, for a later sidecar to adopt."""
        if self._popen and self._popen.returncode is None:
            # Nobody is going to reap it from here, and Popen complains of that when it is collected.
            self._popen.returncode = 0


async def wait_end(pid: int, born: str) -> None:
    """Return once that process has ended. It need not be a child of ours. Costs neither a thread nor a wake-up."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def tell() -> None:
        # The loop may be closed by now.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set)

    forget: Callable[[], None] | None = None
    while forget is None:
        try:
            forget = watch_end(pid, born, tell)
        except RuntimeError:
            # The system grants no thread at the moment.
            await asyncio.sleep(_RETRY_SECONDS)
    try:
        await ended.wait()
    finally:
        forget()


async def _cannot_be_ended(pids: Iterable[int]) -> StopFailed:
    names = await asyncio.to_thread(_names, pids)
    return StopFailed(
        f"Not all of Ollama can be ended, not even by a kill: {names}.",
        action="End it as its owner. If it waits for a driver or a disk, restart the machine.",
    )


def _is_guard(pid: int) -> bool:
    try:
        return not {"core.shim", "--shim"}.isdisjoint(psutil.Process(pid).cmdline())
    except (psutil.Error, OSError):
        return False


def _names(pids: Iterable[int]) -> str:
    """Those processes, with what a person needs to find them."""
    found = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            found.append(f"pid {pid} ({process.name()}, of {process.username()}, {process.status()})")
        except (psutil.Error, OSError, KeyError):
            found.append(f"pid {pid}")
    return ", ".join(found)
