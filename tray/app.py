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

from core import __version__
from core.errors import WAYS_OUT, CoreError, os_error_in_words
from core.logs import tail
from core.ollama import activity, executable
from core.ollama.call import CallFailed
from core.ollama.probe import error_text
from core.platform import desktop
from core.settings import edit
from core.sidecar import Sidecar
from core.supervision.state import State, Status
from core.text import in_sentences
from core.threads.single_flight import SingleFlight, within
from tray.menu import Act, Command, Facts, View, bare_view, view
from tray.toasts import Toast, Toaster

log = logging.getLogger(__name__)

CONFIRM_SECONDS = 10.0
_UNLOAD_SECONDS = 10.0
_WRITE_SECONDS = 5.0
_READ_SECONDS = 2.0
_DIALOG_SECONDS = 86_400.0


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
        self._supervisor = core.ollama
        self._paths = core.paths
        self._reader = core.settings
        self._surface = surface
        self._start_at_login = start_at_login
        self._toaster = Toaster()
        self._commands: asyncio.Queue[Command | None] = asyncio.Queue()
        self._facts = Facts(Status(), api_url, False, False, False, False)
        self._quit_confirmed_until = 0.0
        self._is_choosing = False
        self._moved = asyncio.Event()
        self._newest_log = SingleFlight("log folder", lambda: tail.newest(str(core.paths.logs)))

    async def run(self) -> None:
        """Follow the status and carry out commands until QUIT."""
        try:
            async with asyncio.TaskGroup() as tasks:
                # What asks a disk is apart from what the icon shows: a folder that hangs must not make the icon lie.
                steady = [
                    tasks.create_task(what)
                    for what in (self._follow(), self._look_for_logs(), self._read_preferences())
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
                self._update(status=status)
                self._moved.set()

    async def _look_for_logs(self) -> None:
        """After each move, note whether there is a log to open."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            with suppress(OSError):
                self._update(has_logs=await self._newest_log.run(_READ_SECONDS) is not None)

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

    async def _read_preferences(self) -> None:
        settings = (await self._reader.fresh()).settings
        self._update(starts_on_launch=settings.sidecar.start_on_launch)
        try:
            at_login = await within(_READ_SECONDS, "autostart", desktop.starts_at_login)
        except Exception:
            # Another program may have written anything there.
            log.exception("whether this program starts at login cannot be learnt")
            return
        self._update(starts_at_login=at_login)

    async def _carry_out(self, command: Command) -> None:
        try:
            await self._actions()[command.act](command.argument)
        except CoreError as error:
            log.info("%s was refused: %s", command.act, error)
            if toast := self._toaster.refused(error, command.act):
                self._surface.toast(toast)
        except OSError as error:
            way_out = WAYS_OUT.get(error.errno or 0)
            self._surface.toast(Toast("That did not work", in_sentences(os_error_in_words(error), way_out)))
        except Exception:
            # The edge of a click: one that goes wrong must not end the program.
            log.exception("%s failed", command.act)
            self._surface.toast(Toast("That did not work", "The log says why."))

    def _actions(self) -> dict[Act, Callable[[str | None], Coroutine[Any, Any, None]]]:
        return {
            Act.START: lambda _: self._wish(Act.START, self._supervisor.start(by_user=True)),
            Act.STOP: lambda _: self._wish(Act.STOP, self._supervisor.stop()),
            Act.RESTART: lambda _: self._wish(Act.RESTART, self._supervisor.restart()),
            Act.OPEN_LOGS: self._open_logs,
            Act.OPEN_NEWEST_LOG: self._open_newest_log,
            Act.UNLOAD: self._unload,
            Act.COPY_ADDRESS: self._copy_address,
            Act.CHOOSE_EXECUTABLE: self._choose_executable,
            Act.START_AT_LOGIN: self._toggle_login,
            Act.START_ON_LAUNCH: self._toggle_launch,
            Act.ALLOW_DESKTOP: self._allow_desktop,
            Act.ABOUT: self._about,
            Act.SHOW_STATUS: self._show_status,
            Act.QUIT: self._quit,
        }

    async def _wish(self, act: Act, wish: Coroutine[Any, Any, Status]) -> None:
        self._toaster.asked(act)
        await wish

    async def _open_logs(self, _: str | None) -> None:
        await self._open(str(self._paths.logs))

    async def _open_newest_log(self, _: str | None) -> None:
        newest = await self._newest_log.run(_READ_SECONDS)
        await self._open(newest or str(self._paths.logs))

    async def _open(self, path: str) -> None:
        if not await asyncio.to_thread(desktop.open_path, path):
            self._surface.toast(Toast("Logs", f"They are in {path}."))

    async def _unload(self, model: str | None) -> None:
        try:
            client = await self._supervisor.client()
            await client.unload(model or "", _UNLOAD_SECONDS)
            # Somebody else's Ollama is not asked of itself what it has loaded, or only now and then.
            await self._supervisor.status()
        except CallFailed as error:
            self._surface.toast(Toast(f"{model} is still loaded", error_text(error)))

    async def _copy_address(self, _: str | None) -> None:
        url = self._facts.api_url or ""
        if not await asyncio.to_thread(desktop.copy_text, url):
            self._surface.toast(Toast("API address", url))

    async def _choose_executable(self, _: str | None) -> None:
        if self._is_choosing:
            self._surface.toast(Toast("Choose executable", "The dialog is open already."))
            return
        self._is_choosing = True
        try:
            path = await within(
                _DIALOG_SECONDS, "dialog", lambda: desktop.choose_file("Choose the Ollama executable", None)
            )
        except FileNotFoundError as error:
            self._surface.toast(
                Toast("Choose executable", f"{error} Set ollamaExecutablePath in {self._paths.settings}.")
            )
            return
        finally:
            self._is_choosing = False
        if path is not None:
            await within(_WRITE_SECONDS, "settings", lambda: self._use_executable(path))

    def _use_executable(self, path: str) -> None:
        executable.validate(path)
        edit.write_settings(self._paths, {"ollamaExecutablePath": path})

    async def _toggle_login(self, _: str | None) -> None:
        if self._facts.starts_at_login:
            await within(_WRITE_SECONDS, "autostart", desktop.stop_at_login)
        else:
            await within(_WRITE_SECONDS, "autostart", self._start_at_login)
        self._update(starts_at_login=await within(_READ_SECONDS, "autostart", desktop.starts_at_login))

    async def _toggle_launch(self, _: str | None) -> None:
        wanted = not self._facts.starts_on_launch
        await self._write_sidecar({"startOnLaunch": wanted})
        self._update(starts_on_launch=wanted)

    async def _allow_desktop(self, _: str | None) -> None:
        settings = (await self._reader.fresh()).settings
        origins = dict.fromkeys([*settings.sidecar.allowed_origins, "null"])
        await self._write_sidecar({"allowedOrigins": list(origins)})
        self._update(is_desktop_refused=False)

    async def _write_sidecar(self, changes: dict[str, object]) -> None:
        await within(_WRITE_SECONDS, "settings", lambda: edit.write_sidecar(self._paths, changes))

    async def _about(self, _: str | None) -> None:
        text = f"Version {__version__}. {self._facts.api_url}\nData in {self._paths.data}"
        self._surface.toast(Toast("Aura Ollama", text))

    async def _show_status(self, _: str | None) -> None:
        self._surface.toast(Toast("Aura Ollama", self._view().tooltip))

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
