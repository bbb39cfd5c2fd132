"""One download, as Ollama carries it out, from the request to its last word, and what is done when it breaks off.

How it goes: wait until Ollama answers, wait for a turn, look at the settings, ask Ollama to pull, and read what it
prints. If the connection breaks off, Ollama has been stopped, has crashed, or hangs: wait until it answers again, and
ask again. It goes on where it stopped. What Ollama itself tells as an error ends the download, since it has tried again
by itself for a minute before it does so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing

from core.errors import CoreError, PullFailed
from core.jobs import disk_room, texts
from core.jobs.job import JobState
from core.jobs.progress import Progress
from core.ollama.call import CallFailed, Complaint, HttpStatus
from core.ollama.model_name import ModelName, check_registry
from core.ollama.pull import pull
from core.settings.reader import SettingsReader
from core.supervision.state import State, Status
from core.supervision.supervisor import Supervisor
from core.text import size_text
from core.threads.single_flight import within

log = logging.getLogger(__name__)

WAIT_SECONDS = 24 * 3600.0
"""How long a download waits for an Ollama that is gone."""
_DISK_SECONDS = 2.0
# Go's text for a request that was given up, which we did not.
_ITS_END = "context canceled"
# Seconds between attempts that bring nothing though Ollama answers.
_PAUSES = (1.0, 2.0, 4.0, 8.0)


def is_up(status: Status) -> bool:
    """Whether an Ollama answers, so that it can be asked to pull."""
    return status.is_running and status.error is None


async def check_settings(settings: SettingsReader, name: ModelName) -> None:
    """Raise RegistryNotAllowed unless that model may be pulled as the settings are now."""
    sidecar = (await settings.fresh()).settings.sidecar
    check_registry(name, sidecar.allowed_registries, allow_insecure=sidecar.allow_insecure_registries)


class Download:
    """The download of one model by one Ollama. Belongs to the loop; `run` it once, as a task that may be cancelled."""

    def __init__(
        self,
        supervisor: Supervisor,
        name: ModelName,
        progress: Progress,
        slots: asyncio.Semaphore,
        *,
        on_state: Callable[[JobState, str], None],
        on_progress: Callable[[], None],
        others_left: Callable[[], int],
    ) -> None:
        """`slots` is the number of downloads that may run at once.

        `on_state` is told whether the job is queued or running, and what it waits for or does. `on_progress` is called
        whenever `progress` has news. `others_left` tells how many bytes other downloads to the same disk still bring.
        """
        self._supervisor = supervisor
        self._name = name
        self._progress = progress
        self._slots = slots
        self._on_state = on_state
        self._on_progress = on_progress
        self._others_left = others_left
        self._limit: asyncio.Timeout | None = None
        """That of the request to Ollama under way, if there is one."""
        self._has_closed = asyncio.Event()

    async def run(self) -> None:
        """Return once Ollama has the model. Raises the CoreError that says why it never will."""
        pauses = iter(_PAUSES)
        while True:
            await self._until_up()
            if self._slots.locked():
                self._on_state(JobState.QUEUED, texts.WAITS_FOR_TURN)
            async with self._slots:
                if not is_up(await self._supervisor.status()):
                    continue
                await check_settings(self._supervisor.settings, self._name)
                self._on_state(JobState.RUNNING, "Asking Ollama")
                before = self._progress.received
                try:
                    await self._ask_until_paused()
                    return
                except TimeoutError:
                    # Paused.
                    continue
                except CallFailed as error:
                    if isinstance(error, Complaint | HttpStatus) and not await self._is_by_its_end(error):
                        raise self._failed(str(error)) from None
                    if self._progress.received > before:
                        pauses = iter(_PAUSES)
                    log.info("The download of %s broke off: %s", self._name, error)
                    broken = error
            if is_up(await self._supervisor.status()):
                pause = next(pauses, None)
                if pause is None:
                    raise self._failed(str(broken))
                self._on_state(JobState.QUEUED, f"Tries again in {pause:g} s: {broken}")
                await asyncio.sleep(pause)

    async def pause(self) -> bool:
        """Return once there is no connection to Ollama. It asks again as soon as Ollama is up. False if it had none."""
        if self._limit is None:
            return False
        if not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())
        await self._has_closed.wait()
        return True

    async def _until_up(self) -> None:
        status = await self._supervisor.status()
        if is_up(status):
            return
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                with self._supervisor.subscribe() as statuses:
                    async for status in statuses:
                        if is_up(status):
                            return
                        is_coming = status.state is State.STARTING
                        self._on_state(JobState.QUEUED, texts.WAITS_FOR_START if is_coming else texts.WAITS_FOR_OLLAMA)
        except TimeoutError:
            raise PullFailed(
                str(self._name),
                "Ollama has not been running for 24 hours.",
                action="Start it, and pull again: it goes on.",
            ) from None

    async def _is_by_its_end(self, error: CallFailed) -> bool:
        """Whether Ollama tells an error because it is being ended itself."""
        return _ITS_END in str(error) or not is_up(await self._supervisor.status())

    async def _ask_until_paused(self) -> None:
        """As `_ask`; raises TimeoutError once it is to pause, with the connection closed."""
        self._has_closed.clear()
        try:
            async with asyncio.timeout(None) as self._limit:
                await self._ask()
        finally:
            self._limit = None
            self._has_closed.set()

    async def _ask(self) -> None:
        """Have Ollama pull, and read what it prints to the end. Raises CallFailed, or PullFailed if no room is left."""
        self._progress.begin()
        known = 0
        async with aclosing(pull(await self._supervisor.endpoint(), self._name)) as lines:
            async for line in lines:
                self._progress.take(line, time.monotonic())
                total = self._progress.total or 0
                if total > known:
                    known = total
                    await self._check_room(total - self._progress.completed)
                self._on_progress()

    async def _check_room(self, left: int) -> None:
        """Raise PullFailed if it is known that the disk cannot hold what is left to come, in bytes."""
        status = await self._supervisor.status()
        if left <= 0 or not (await self._supervisor.endpoint()).is_local:
            return
        reading = await self._supervisor.settings.fresh()
        added = reading.settings.sidecar.env if status.is_managed else None
        try:
            found = await within(_DISK_SECONDS, "free disk", lambda: _room(status.pid, added))
        except (TimeoutError, OSError):
            return
        others = self._others_left()
        if found is not None and left + others > found[1]:
            beside = f", and {size_text(others)} of other downloads" if others else ""
            raise self._failed(
                f"Not enough space: {size_text(left)} are still to come{beside}, and "
                f"{size_text(found[1])} are free for {found[0]}."
            )

    def _failed(self, words: str) -> CoreError:
        return PullFailed(str(self._name), words, action=texts.way_out(words))


def _room(pid: int | None, added: dict[str, str] | None) -> tuple[str, int] | None:
    folder = disk_room.models_folder(pid, added)
    return None if folder is None else (str(folder), disk_room.free_bytes(folder))
