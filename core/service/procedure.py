"""Installs, removes and shows our service. What is in the way is told, and nothing is changed then."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from core import files
from core.errors import CoreError
from core.platform import birth, desktop, make_private_dir, service
from core.platform.service.mark import Origin
from core.settings.paths import Paths


class ServiceRefused(CoreError):
    """The service cannot be installed, removed or looked at."""

    code = "service_refused"
    title = "Service not changed"


@dataclass(frozen=True, slots=True)
class Shown:
    """Our service as it is now. `place` is where its entry is, None if there is none, and `origin` whose that is."""

    manager: str
    place: str | None
    origin: Origin | None
    state: service.State | None
    """None if there is no entry."""
    login_entry: bool
    """Whether the tray starts at login as well, where only one of them can serve."""
    lingers_how: str
    """How it runs without a login, in a sentence; "" where it does already, or that is nothing to be chosen."""


def install(paths: Paths, options: Sequence[str] = ()) -> Shown:
    """Have this program serve `paths` at each login from now on, without a tray, and at once. Done again it upgrades.

    `options` are added to its command. An Ollama that it manages goes on, and is adopted. Raises ServiceRefused: if the
    entry that is there is not ours or was changed, the tray starts at login, or another sidecar serves the folder,
    nothing has been changed. If the manager fails, the entry may have been written.
    """
    try:
        found = service.entry()
        if found and found.origin is not Origin.OURS:
            raise _not_ours(found)
        if desktop.starts_at_login():
            raise ServiceRefused(
                "The tray starts at login, and only one of it and the service can serve.",
                action="Switch off `Start this program at login` in the tray's menu, and try again.",
            )
        if pid := _other_sidecar(paths, service.state().pid if found else None):
            raise ServiceRefused(
                f"A sidecar (pid {pid}) serves {paths.data} already, and is not this service.",
                action="Quit it and try again. With `stopOnQuit` false its Ollama goes on, and the service adopts it.",
            )
        text = service.text(_command(paths, options), str(paths.logs.parent / "service.log"))
        # launchd makes that file, and not its folder: without it the program is not started at all.
        make_private_dir(str(paths.logs.parent))
        service.put(text)
    except (OSError, ValueError) as error:
        raise _in_words(error) from error
    return look()


def uninstall() -> bool:
    """End and remove our service; an Ollama that it manages goes on. False if there was none. Raises ServiceRefused."""
    try:
        found = service.entry()
        if found is None:
            return False
        if found.origin is not Origin.OURS:
            raise _not_ours(found)
        service.take_away()
    except OSError as error:
        raise _in_words(error) from error
    return True


def look() -> Shown:
    """What there is of it. Changes nothing. Raises ServiceRefused if the manager cannot be asked."""
    try:
        found = service.entry()
        state = service.state() if found else None
        return Shown(
            service.MANAGER,
            found.place if found else None,
            found.origin if found else None,
            state,
            desktop.starts_at_login(),
            "" if state and state.lingers else service.LINGERS,
        )
    except OSError as error:
        raise _in_words(error) from error


def _command(paths: Paths, options: Sequence[str]) -> list[str]:
    """The command by which a manager starts this program: with absolute paths, and the folder that is served now."""
    folder = [] if paths == Paths.find() and not os.environ.get("AURA_DATA_PATH") else ["--data-dir", str(paths.root)]
    return [*desktop.login_command(), "--service", *folder, *options]


def _not_ours(found: service.Entry) -> ServiceRefused:
    if found.origin is Origin.CHANGED:
        return ServiceRefused(
            f"{found.place} was written by `aura-ollama service install` and changed by somebody since.",
            action="Keep your changes elsewhere (for systemd in a drop-in: systemctl --user edit aura-ollama.service), "
            "remove that one, and try again.",
        )
    return ServiceRefused(
        f"{found.place} was not written by `aura-ollama service install`.",
        action="Remove or rename it yourself, and try again.",
    )


def _other_sidecar(paths: Paths, own: int | None) -> int | None:
    """The pid of a living sidecar that serves this folder, by its note, if that is not `own`."""
    # Only the note itself may be missing or torn: a process that cannot be looked at is an error.
    try:
        pid = int(json.loads(files.read(str(paths.run / "sidecar.json")))["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if pid != own and birth(pid) is not None else None


def _in_words(error: Exception) -> ServiceRefused:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return ServiceRefused(f"{error.filename}: {error.strerror}.")
    return ServiceRefused(str(error))
