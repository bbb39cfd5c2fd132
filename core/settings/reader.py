"""The values of both settings files that are in force, read by one thread for the whole program.

A file that cannot be used is reported, never repaired: its last good values stay in force.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from core.errors import ConfigError, DataFolderGone
from core.events.snapshots import Broadcast
from core.settings import file as settings_file
from core.settings import schema
from core.settings.edit import located
from core.settings.file import Stamp
from core.settings.paths import Paths
from core.settings.schema import DEFAULT_NUM_CTX, AuraSettings, Fault
from core.settings.schema import DEFAULT_URL as DEFAULT_URL
from core.settings.schema import SidecarSettings as SidecarSettings
from core.threads.single_flight import SingleFlight

FIRST_READ_SECONDS = 5.0
"""The deadline of the first read, at our own start: a disk may have to spin up."""
FRESH_SECONDS = 0.25
HANGING_SECONDS = 2.0
ASKED_SECONDS = HANGING_SECONDS
"""The deadline for who asks for the settings themselves, and is better served late than with what was in force."""
_T = TypeVar("_T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Settings:
    """The values in force, from both files. `ollama_url` is as written, and is checked by `Endpoint.parse`."""

    ollama_url: str = DEFAULT_URL
    ollama_model: str | None = None
    ollama_executable_path: str | None = None
    sidecar: SidecarSettings = field(default_factory=SidecarSettings)
    ollama_gpu_enabled: bool = True
    ollama_num_gpu: int = -1
    ollama_num_ctx: int = DEFAULT_NUM_CTX
    ollama_gpu_auto_detect: bool = True

    @property
    def fingerprint(self) -> str:
        """A hash that is equal if and only if the values are equal. It reveals no value, so it may be logged."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()


@dataclass(frozen=True, slots=True)
class Reading:
    """The settings in force. `problem` tells why they differ from the files, None if they do not.

    `is_unknown`: `settings.json` has never been usable, so its defaults are in force.
    """

    settings: Settings
    problem: ConfigError | None
    is_unknown: bool = False


# If the settings cannot be read, they may ask for the token, so require it: fail closed.
_UNREAD = Settings(sidecar=SidecarSettings(require_token=True))


class SettingsReader:
    """The settings in force, read fresh. One for the whole program, so that a disk that hangs holds one thread."""

    def __init__(self, paths: Paths, conceal: Callable[[Mapping[str, str]], None] = lambda env: None) -> None:
        """`conceal` is called with each `env` that is read, on the reading thread, before the value is returned."""
        self._paths = paths
        self._conceal = conceal
        self._aura = _SettingsFile(paths.settings, AuraSettings)
        self._sidecar = _SettingsFile(paths.sidecar, SidecarSettings)
        self._lock = threading.Lock()
        self._flight = SingleFlight("settings", self._read)
        self._last: Reading | None = None
        self._last_at = float("-inf")
        self.hub: Broadcast[tuple[Settings, str | None] | None] = Broadcast(None)
        """The last values that `fresh` read, and what was wrong with the files then. None before the first time."""

    async def fresh(self, *, seconds: float | None = None, max_age: float = 0.0) -> Reading:
        """What the files say now, or said at most `max_age` seconds ago. For the program's one loop.

        Takes `seconds` at most, by default 0.25, or 5 for the first reading, which has none to fall back on. Does not
        raise. If the disk has not answered by then, the last reading stands; after 2 s of silence, or if there is no
        last reading, `problem` says so. Until a first reading the token is required.
        """
        if self._last and time.monotonic() - self._last_at <= max_age:
            return self._last
        if seconds is None:
            seconds = FRESH_SECONDS if self._last else FIRST_READ_SECONDS
        try:
            reading = await self._flight.run(seconds)
        except (TimeoutError, OSError):
            if self._last is None:
                return Reading(_UNREAD, self._disk_is_silent(), is_unknown=True)
            is_hanging = self._flight.running_for >= HANGING_SECONDS
            return replace(self._last, problem=self._disk_is_silent()) if is_hanging else self._last
        self.hub.publish((reading.settings, str(reading.problem) if reading.problem else None))
        return reading

    def read(self) -> Settings:
        """What the files say now. Blocks on the disk and does not raise. From any thread.

        A missing file means the defaults. If a file cannot be used, its last good values stay in force, or the defaults
        if there are none, and `problem` says why. The token is required as long as `ollama-sidecar.json` has never been
        usable.
        """
        return self._read().settings

    @property
    def problem(self) -> ConfigError | None:
        """What was wrong at the last read, of `settings.json` first; None if nothing."""
        return self._aura.problem or self._sidecar.problem

    @property
    def problems(self) -> tuple[ConfigError, ...]:
        """What was wrong with each file at the last read."""
        return tuple(problem for problem in (self._aura.problem, self._sidecar.problem) if problem)

    def _read(self) -> Reading:
        with self._lock:
            began = time.monotonic()
            aura, sidecar = self._aura.read(), self._sidecar.read()
            if self._sidecar.is_unknown:
                # Fail closed: a file that cannot be used may be the rest of one that asked for the token.
                sidecar = msgspec.structs.replace(sidecar, require_token=True)
            self._conceal(sidecar.env)
            settings = Settings(sidecar=sidecar, **msgspec.structs.asdict(aura))
            reading = Reading(settings, self.problem, self._aura.is_unknown)
            self._last, self._last_at = reading, began
            return reading

    def _disk_is_silent(self) -> ConfigError:
        return ConfigError(
            f"{self._paths.data} cannot be read: its disk does not answer",
            action="See to that disk or network drive; until then the last settings that were read stay in force.",
        )


class _SettingsFile(Generic[_T]):
    """One file: its last good values, and what is wrong with it now. Called under the reader's lock."""

    def __init__(self, path: Path, kind: type[_T]) -> None:
        self.problem: ConfigError | None = None
        self._path = path
        self._kind: type[_T] = kind
        self._good: _T = kind()
        self._was_good = False
        self._stamp: Stamp | None = None
        # Device and inode of the folder in which the file was found last.
        self._folder: tuple[int, int] | None = None

    def read(self) -> _T:
        known, self._stamp = self._stamp, None
        if known is not None and settings_file.has_stamp(self._path, known):
            self._stamp = known
            return self._good
        try:
            self._good = self._load()
            self._was_good = True
            self.problem = None
        except ConfigError as error:
            self.problem = error
        return self._good

    @property
    def is_unknown(self) -> bool:
        """Whether the file has never been usable, so that the defaults are in force."""
        return self.problem is not None and not self._was_good

    def _load(self) -> _T:
        now = time.time_ns()
        file = settings_file.load(self._path)
        if file.stamp is None:
            if self._was_good and not self._path.parent.is_dir():
                raise DataFolderGone(f"{self._path.parent} is gone")
            if self._folder not in (None, _identity(self._path.parent)):
                # What a disk leaves that is mounted no more: the empty folder at which it was.
                raise DataFolderGone(f"{self._path.parent} is not the folder that it was, and has no {self._path.name}")
            return self._kind()
        self._folder = _identity(self._path.parent)
        if file.stamp.is_settled(now):
            self._stamp = file.stamp
        document = settings_file.parse(self._path, file.text)
        try:
            return schema.convert(self._kind, document.values)
        except Fault as fault:
            raise located(self._path, document, fault) from None


def _identity(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from another one of the same name; None if that cannot be read."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
