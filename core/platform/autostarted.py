"""What starts an Ollama of its own on this machine, at boot or at login: a service or Ollama's desktop app.

Not part of `core.platform` itself, which the shim imports and which therefore stays small. Reads files and the list of
processes: call it in a thread. Only what is known by name is found.
"""

from __future__ import annotations

import glob
import os
import sys
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Starter:
    """`name` says in words what it is, `way_out` how a person keeps it from starting Ollama.

    `owner` is what `owner` in the settings would have to be for us to control it; None if nothing would do.
    """

    name: str
    way_out: str
    owner: str | None = None


def starters() -> list[Starter]:
    """Each that is set up to start an Ollama by itself, whether that runs at present or not."""
    found = [*_at_login(), *_running_app()]
    return list(dict.fromkeys(found))


if sys.platform == "win32":
    _APP = "ollama app.exe"
    # Ollama's installer puts it there: app/ollama.iss of its sources.
    _SHORTCUT = r"Microsoft\Windows\Start Menu\Programs\Startup\Ollama.lnk"

    def _at_login() -> list[Starter]:
        place = os.path.join(os.environ.get("APPDATA", ""), _SHORTCUT)
        if not os.path.exists(place):
            return []
        return [
            Starter("Ollama's own desktop app, which starts at login", f"Quit it from its icon, and delete {place}")
        ]

elif sys.platform == "darwin":
    _APP = "Ollama"
    _LABELS = ("homebrew.mxcl.ollama", "com.ollama.ollama")

    def _at_login() -> list[Starter]:
        folder = os.path.expanduser("~/Library/LaunchAgents")
        return [
            Starter(
                f"the launch agent {label}",
                f"Unload it with: launchctl unload -w {folder}/{label}.plist",
                f"launchd:{label}",
            )
            for label in _LABELS
            if os.path.exists(f"{folder}/{label}.plist")
        ]

else:
    _APP = ""
    # systemd.unit(5): a unit that is enabled has a link in the folder of what wants it.
    _NAMES = ("ollama.service", "snap.ollama.*.service")
    _SYSTEM = "/etc/systemd/system"

    def _at_login() -> list[Starter]:
        own = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        found = []
        for whose, folder, command, kind in (
            ("system", _SYSTEM, "sudo systemctl", "systemd"),
            ("user", os.path.join(own, "systemd", "user"), "systemctl --user", "systemd-user"),
        ):
            for name in _NAMES:
                for link in glob.glob(os.path.join(glob.escape(folder), "*.wants", name)):
                    unit = os.path.basename(link)
                    way_out = f"Switch it off with: {command} disable --now {unit}"
                    found.append(Starter(f"the {whose} service {unit}", way_out, f"{kind}:{unit}"))
        return found


def _running_app() -> list[Starter]:
    for process in psutil.process_iter() if _APP else ():
        try:
            command = process.cmdline()
        except (psutil.Error, OSError):
            continue
        if command and os.path.basename(command[0]) == _APP:
            return [Starter(f"Ollama's own desktop app (pid {process.pid})", "Quit Ollama from its icon")]
    return []
