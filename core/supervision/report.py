"""Publishes what changes about an instance, and about the settings, to the history of events. Belongs to the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePath

import msgspec

from core.events.history import EventHistory, EventType
from core.settings.paths import DEFAULT_INSTANCE as DEFAULT_INSTANCE
from core.settings.reader import Settings, SidecarSettings
from core.settings.schema import AuraSettings
from core.supervision.state import State, Status


class StatusReporter:
    """Publishes the changes in the status of one instance. `on_status` is called with each new status."""

    def __init__(
        self, history: EventHistory, log_of_start: Callable[[], str | None], instance: str = DEFAULT_INSTANCE
    ) -> None:
        """`log_of_start` returns the path of the log of the Ollama that is being started, once it has a process."""
        self._history = history
        self._log_of_start = log_of_start
        self._instance = instance
        self._status = Status()

    def on_status(self, status: Status) -> None:
        """Publish how a status differs from the one before it."""
        before, self._status = self._status, status
        if (shown := _for_event(status)) != _for_event(before):
            self._history.publish(EventType.STATUS, self._instance, shown)
        if (status.models, status.loaded) != (before.models, before.loaded):
            models = {"count": len(status.models), "loaded": list(status.loaded)}
            self._history.publish(EventType.MODELS, self._instance, models)
        is_new_process = status.state is State.STARTING and status.pid not in (None, before.pid)
        if is_new_process and (path := self._log_of_start()):
            self._history.publish(EventType.LOG, self._instance, {"file": PurePath(path).name})


class SettingsReporter:
    """Publishes the changes in the settings. `on_settings` is called with each new reading."""

    def __init__(self, history: EventHistory) -> None:
        self._history = history
        self._settings: tuple[Settings, str | None] | None = None

    def on_settings(self, reading: tuple[Settings, str | None] | None) -> None:
        """Publish which keys have new values, and the problem with the files. The first reading is no change."""
        before, self._settings = self._settings, reading
        if before is not None and reading is not None:
            changed = [name for name, value in _values(reading[0]).items() if value != _values(before[0])[name]]
            self._history.publish(EventType.SETTINGS, None, {"changed": changed, "settingsError": reading[1]})


def _for_event(status: Status) -> Status:
    """The status without the fields that another event publishes, or none does."""
    return replace(status, models=(), models_error=None, last_exit=None, since=0.0)


def _values(settings: Settings) -> dict[str, object]:
    """Every value in force, by the key that it has in its file."""
    aura = {field.encode_name: getattr(settings, field.name) for field in msgspec.structs.fields(AuraSettings)}
    own = {
        field.encode_name: getattr(settings.sidecar, field.name) for field in msgspec.structs.fields(SidecarSettings)
    }
    return aura | own
