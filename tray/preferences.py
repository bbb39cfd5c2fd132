"""Changes what the user may set from the menu. On the loop. What cannot be changed raises `CoreError` or OSError."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from core.ollama import executable
from core.platform import desktop
from core.settings import edit
from core.settings.owner import name_of
from core.settings.paths import Paths
from core.settings.reader import SettingsReader
from core.text import isolated
from core.threads.single_flight import within
from tray.menu import Act, Command
from tray.toasts import Kind, Toast

_READ_SECONDS = 2.0
_WRITE_SECONDS = 5.0
_DIALOG_SECONDS = 86_400.0
_CHOOSE = "Choose Ollama's Executable"


class Preferences:
    """Those of one data folder, and whether this program starts at login."""

    def __init__(self, paths: Paths, reader: SettingsReader, start_at_login: Callable[[], None]) -> None:
        """`start_at_login` has this program, as it runs, start at login. It is called in a thread; raises OSError."""
        self._paths = paths
        self._reader = reader
        self._start_at_login = start_at_login
        self._is_choosing = False

    async def starts_at_login(self) -> bool:
        """Whether this program starts at login."""
        return await within(_READ_SECONDS, "autostart", desktop.starts_at_login)

    async def set_login(self, *, wanted: bool) -> None:
        """Have this program start at login, or not."""
        await within(_WRITE_SECONDS, "autostart", self._start_at_login if wanted else desktop.stop_at_login)

    async def set_launch(self, *, wanted: bool) -> None:
        """Have Ollama start with this program, or not."""
        await self._write_sidecar({"startOnLaunch": wanted})

    async def allow_desktop(self) -> None:
        """Let pages without an origin of their own call, as those of a desktop app have none."""
        settings = (await self._reader.fresh(seconds=_READ_SECONDS)).settings
        origins = dict.fromkeys([*settings.sidecar.allowed_origins, "null"])
        await self._write_sidecar({"allowedOrigins": list(origins)})

    async def control(self, owner: str) -> Toast:
        """Have Ollama run and controlled by that owner, which the settings did not name so far."""
        await self._write_sidecar({"owner": owner})
        told = f"{name_of(owner)} is started and stopped here from now on. Quit leaves it as it is."
        return Toast("Ollama's Service", told, Kind.NEWS, opens=Command(Act.OPEN_OWN_SETTINGS))

    async def let_go(self) -> None:
        """Have Ollama be a process of ours again, and leave what another owner runs as it is."""
        await self._write_sidecar({"owner": None})

    async def choose_executable(self) -> Toast | None:
        """Ask for Ollama's executable, and have it used from the next start on."""
        if self._is_choosing:
            return Toast(_CHOOSE, "The dialog is open already.")
        self._is_choosing = True
        try:
            path = await within(_DIALOG_SECONDS, "dialog", partial(desktop.choose_file, _CHOOSE, None))
        except FileNotFoundError as error:
            return Toast(_CHOOSE, f"{error} Set ollamaExecutablePath in {self._paths.settings}.")
        finally:
            self._is_choosing = False
        if path is not None:
            await within(_WRITE_SECONDS, "settings", partial(self._use_executable, path))
        return None

    async def use_in_aura(self, model: str) -> Toast:
        """Have Aura use that model."""
        changes = {"ollamaModel": model}
        await within(_WRITE_SECONDS, "settings", partial(edit.write_settings, self._paths, changes))
        await self._reader.fresh(seconds=_READ_SECONDS)
        told = f"{isolated(model)} is set. If Aura is open, it takes it over at its next start."
        return Toast("Aura's Model", told, Kind.NEWS, opens=Command(Act.OPEN_AURA_SETTINGS))

    def _use_executable(self, path: str) -> None:
        executable.validate(path)
        edit.write_settings(self._paths, {"ollamaExecutablePath": path})

    async def _write_sidecar(self, changes: dict[str, object]) -> None:
        await within(_WRITE_SECONDS, "settings", partial(edit.write_sidecar, self._paths, changes))
        # The readers' hub tells only of what differs from what it told before.
        await self._reader.fresh(seconds=_READ_SECONDS)
