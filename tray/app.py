"""What the tray does: follows the status, makes views and toasts of it, and carries out commands. Lives on the loop.

It touches no UI: views, toasts and the end go out through callables, which may be called from the loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from core.errors import WAYS_OUT, CoreError, os_error_in_words
from core.ollama import activity
from core.platform import desktop
from core.settings.owner import PROCESS
from core.settings.paths import DEFAULT_INSTANCE
from core.sidecar import Sidecar
from core.supervision.state import State, Status
from core.text import in_sentences, size_text
from tray import answers, places
from tray.menu import Act, Command, Facts, View, bare_view, view
from tray.models import Models
from tray.places import Places
from tray.preferences import Preferences
from tray.pulls import Pulls
from tray.toasts import Toast, Toaster

log = logging.getLogger(__name__)

CONFIRM_SECONDS = 10.0
_MOST_REMEMBERED = 100
_OLLAMA_PAGE = "https://ollama.com/download"
_MODELS_PAGE = "https://ollama.com/library"
_Action = Callable[[str | None], Coroutine[Any, Any, Toast | None]]


@dataclass(frozen=True, slots=True)
class Surface:
    """The UI, as far as the app needs it. All three return at once, from any thread."""

    show: Callable[[View], None]
    toast: Callable[[Toast], None]
    close: Callable[[], None]


class App:
    """The tray's logic over one core, about the instance `default`. `run` it as a task; `post` to it on the loop."""

    def __init__(self, core: Sidecar, api_url: str, surface: Surface, start_at_login: Callable[[], None]) -> None:
        """`start_at_login` makes the session start this program as it runs now; blocks, and raises OSError."""
        self._core = core
        self._supervisor = core.ollama
        self._metrics = core.metrics
        self._paths = core.paths
        self._reader = core.settings
        self._surface = surface
        self._toaster = Toaster()
        self._commands: asyncio.Queue[Command | None] = asyncio.Queue()
        self._facts = Facts(Status(), api_url)
        self._quit_confirmed_until = 0.0
        self._moved = asyncio.Event()
        self._places = Places(core.paths)
        self._preferences = Preferences(core.paths, core.settings, start_at_login)
        self._models = Models(core, lambda names: self._update(loading=names))
        self._pulls = Pulls(core, lambda pulls: self._update(pulls=pulls), surface.toast)
        core.metrics.on_sample(self._note_memory)

    async def run(self) -> None:
        """Follow the status and carry out commands until QUIT."""
        try:
            async with asyncio.TaskGroup() as tasks:
                # What asks a disk is apart from what the icon shows: a folder that hangs must not make the icon lie.
                steady = [
                    tasks.create_task(what)
                    for what in (
                        self._follow(),
                        self._look_for_logs(),
                        self._follow_settings(),
                        self._pulls.follow(),
                        self._read_login(),
                    )
                ]
                acting = set()
                while (command := await self._commands.get()) is not None:
                    act = tasks.create_task(self._carry_out(command))
                    acting.add(act)
                    act.add_done_callback(acting.discard)
                for task in (*steady, *acting):
                    task.cancel()
        finally:
            desktop.close_dialogs()

    def post(self, command: Command) -> None:
        """Have a command carried out. On the loop."""
        self._commands.put_nowait(command)

    def end(self) -> None:
        """Make `run` return. On the loop."""
        self._commands.put_nowait(None)

    def desktop_refused(self) -> None:
        """An Aura desktop app without a known origin was refused: offer to allow it. On the loop; says so once."""
        if not self._facts.is_desktop_refused:
            self._surface.toast(self._toaster.desktop_refused())
            self._update(is_desktop_refused=True)

    async def _follow(self) -> None:
        with self._supervisor.subscribe() as statuses:
            async for status in statuses:
                self._tell(self._facts.status, status)
                used = (*status.loaded, *self._facts.recently_used)
                self._update(status=status, recently_used=tuple(dict.fromkeys(used))[:_MOST_REMEMBERED])
                self._moved.set()

    async def _follow_settings(self) -> None:
        await self._reader.fresh()
        with self._reader.hub.subscribe() as readings:
            async for reading in readings:
                if reading:
                    settings, _ = reading
                    launches = settings.sidecar.start_on_launch
                    self._update(starts_on_launch=launches, aura_model=settings.ollama_model)

    async def _look_for_logs(self) -> None:
        """After each move, note whether there is a log to open."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            with suppress(OSError):
                self._update(has_logs=await self._places.newest_log() is not None)

    def _note_memory(self) -> None:
        now = self._metrics.newest(DEFAULT_INSTANCE)
        memory = size_text(now.tree.memory) if now and now.tree and now.tree.memory is not None else None
        if memory != self._facts.memory:
            self._update(memory=memory)

    def _tell(self, old: Status, new: Status) -> None:
        try:
            if toast := self._toaster.moved(old, new):
                self._surface.toast(toast)
        except Exception:
            # What a stranger on Ollama's port says must not end the program, whatever becomes of its words.
            log.exception("a change of the status cannot be told")

    def _update(self, **changes: Any) -> None:
        self._facts = replace(self._facts, **changes)
        if self._facts.status.state is not State.UNKNOWN:
            self._surface.show(self._view())

    def _view(self) -> View:
        try:
            return view(self._facts)
        except Exception:
            log.exception("the status cannot be shown")
            return bare_view()

    async def _read_login(self) -> None:
        try:
            at_login = await self._preferences.starts_at_login()
        except Exception:
            # Another program may have written anything there.
            log.exception("whether this program starts at login cannot be learnt")
            return
        self._update(starts_at_login=at_login)

    async def _carry_out(self, command: Command) -> None:
        toast: Toast | None
        try:
            toast = await self._actions()[command.act](command.argument)
        except CoreError as error:
            log.info("%s was refused: %s", command.act, error)
            toast = self._toaster.refused(error, command.act)
        except OSError as error:
            way_out = WAYS_OUT.get(error.errno or 0)
            toast = Toast("That did not work", in_sentences(os_error_in_words(error), way_out))
        except Exception:
            # The edge of a click: one that goes wrong must not end the program.
            log.exception("%s failed", command.act)
            toast = Toast("That did not work", "The log says why.")
        if toast:
            self._surface.toast(toast)

    def _actions(self) -> dict[Act, _Action]:
        facts = self._facts
        return {
            Act.START: lambda _: self._wish(Act.START, self._supervisor.start(by_user=True)),
            Act.STOP: lambda _: self._wish(Act.STOP, self._supervisor.stop()),
            Act.RESTART: lambda _: self._wish(Act.RESTART, self._supervisor.restart()),
            Act.GET_OLLAMA: lambda _: places.open_page(_OLLAMA_PAGE),
            Act.TELL_HOW_TO_STOP: lambda _: self._answer(lambda: answers.how_to_stop(facts.status)),
            Act.TELL_SETTINGS_PROBLEM: lambda _: self._answer(lambda: answers.settings_problem(facts.status)),
            Act.OPEN_FAILURE: lambda _: self._places.open_failure(facts.status.failure),
            Act.OPEN_DASHBOARD: self._open_dashboard,
            Act.LOAD: lambda model: self._models.load(model or ""),
            Act.UNLOAD: lambda model: self._models.unload(model or ""),
            Act.UNLOAD_ALL: lambda _: self._models.unload(*facts.status.loaded),
            Act.USE_IN_AURA: lambda model: self._preferences.use_in_aura(model or ""),
            Act.COPY_NAME: lambda model: places.copy(model or ""),
            Act.PULL: lambda model: self._pulls.pull(model or ""),
            Act.CANCEL_PULL: lambda id: self._pulls.cancel(id or ""),
            Act.FIND_MODELS: lambda _: places.open_page(_MODELS_PAGE),
            Act.OPEN_NEWEST_LOG: lambda _: self._places.open_newest_log(),
            Act.OPEN_LOGS: lambda _: self._places.open_logs(),
            Act.OPEN_DATA: lambda _: self._places.open_data(),
            Act.OPEN_AURA_SETTINGS: lambda _: self._places.open_aura_settings(),
            Act.OPEN_OWN_SETTINGS: lambda _: self._places.open_own_settings(),
            Act.COPY_OLLAMA_ADDRESS: lambda _: places.copy(facts.status.url),
            Act.COPY_SIDECAR_ADDRESS: lambda _: places.copy(facts.api_url or ""),
            Act.CHOOSE_EXECUTABLE: lambda _: self._preferences.choose_executable(),
            Act.START_AT_LOGIN: self._toggle_login,
            Act.START_ON_LAUNCH: self._toggle_launch,
            Act.ALLOW_DESKTOP: self._allow_desktop,
            Act.CONTROL: lambda owner: self._owned(self._preferences.control(owner or PROCESS)),
            Act.LET_GO: lambda _: self._owned(self._preferences.let_go()),
            Act.ABOUT: lambda _: self._answer(lambda: answers.about(facts, self._paths.data)),
            Act.SHOW_STATUS: lambda _: self._answer(lambda: answers.whole_status(facts.status)),
            Act.QUIT: self._quit,
        }

    async def _owned(self, change: Coroutine[Any, Any, Toast | None]) -> Toast | None:
        """Change the owner, and have that in force at once."""
        toast = await change
        await self._core.fleet.follow_settings()
        return toast

    async def _wish(self, act: Act, wish: Coroutine[Any, Any, Status]) -> None:
        self._toaster.asked(act)
        await wish

    async def _answer(self, make: Callable[[], Toast]) -> Toast:
        return make()

    async def _open_dashboard(self, _: str | None) -> Toast | None:
        return await places.open_page(await self._core.page_address(self._facts.api_url or ""))

    async def _toggle_login(self, _: str | None) -> None:
        await self._preferences.set_login(wanted=not self._facts.starts_at_login)
        self._update(starts_at_login=await self._preferences.starts_at_login())

    async def _toggle_launch(self, _: str | None) -> None:
        # The mark follows the file.
        await self._preferences.set_launch(wanted=not self._facts.starts_on_launch)

    async def _allow_desktop(self, _: str | None) -> None:
        await self._preferences.allow_desktop()
        self._update(is_desktop_refused=False)

    async def _quit(self, _: str | None) -> None:
        now = asyncio.get_running_loop().time()
        pid = self._facts.status.pid
        would_stop = self._facts.status.is_managed and await self._stops_on_quit()
        if would_stop and pid and now > self._quit_confirmed_until and await asyncio.to_thread(activity.is_busy, pid):
            self._quit_confirmed_until = now + CONFIRM_SECONDS
            self._surface.toast(
                Toast("Ollama is at work", "Quitting stops it. Choose Quit again to quit all the same.")
            )
            return
        self._surface.close()

    async def _stops_on_quit(self) -> bool:
        settings = (await self._reader.fresh()).settings
        return settings.sidecar.stop_on_quit
