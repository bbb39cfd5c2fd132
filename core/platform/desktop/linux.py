"""Linux desktops: XDG autostart, the user's own programs, X11. Contracts: `core.platform.desktop`."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence

from core.platform.desktop import bus, dialogs, entry_file, entry_text, notifications

assert sys.platform == "linux"

_OPENERS = (("xdg-open",), ("gio", "open"))
_OPEN_SECONDS = 1.5
_COPY_SECONDS = 2.0
_WAYLAND_COPIER = ("wl-copy", "--type", "text/plain")
_X_COPIERS = (("xclip", "-selection", "clipboard", "-in"), ("xsel", "--clipboard", "--input"))
_LOCAL_DISPLAY = re.compile(r"(|unix|localhost|127\.0\.0\.1):(\d{1,4})(?:\.\d+)?")
_CONNECT_SECONDS = 0.1


def _entry_path() -> str:
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    # The XDG Base Directory Specification says to ignore relative paths.
    if not os.path.isabs(folder):
        folder = os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(folder, "autostart", "aura-ollama.desktop")


def login_command() -> list[str]:
    return entry_text.login_command("aura-ollama", os.path.basename(sys.executable))


def starts_at_login() -> bool:
    try:
        with open(_entry_path(), encoding="utf-8", errors="surrogateescape", newline="") as file:
            program = entry_text.desktop_entry_program(file.read())
    except OSError:
        return False
    return program is not None and shutil.which(program) is not None


def start_at_login(command: Sequence[str], icon: str | None = None) -> None:
    try:
        text = entry_text.desktop_entry(command, icon).encode()
    except UnicodeEncodeError as error:
        # GLib takes no value of an entry that is not UTF-8, and the session would skip ours without a word.
        raise OSError(entry_text.not_text(command)) from error
    entry_file.write(_entry_path(), text)


def stop_at_login() -> None:
    entry_file.remove(_entry_path())


def open_path(path: str) -> bool:
    path = os.path.abspath(path)
    if not os.path.exists(path):
        return False
    return _open(path)


def open_url(url: str) -> bool:
    return entry_text.is_web_address(url) and _open(url)


def _open(what: str) -> bool:
    return any(_open_with([program, *options, what]) for program, *options in _OPENERS if shutil.which(program))


def _open_with(command: list[str]) -> bool:
    try:
        opener = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    try:
        return opener.wait(_OPEN_SECONDS) == 0
    except subprocess.TimeoutExpired:
        # Without a known desktop, xdg-open runs as long as the program that it has opened.
        threading.Thread(target=opener.wait, name="opener", daemon=True).start()
        return True


def copy_text(text: str) -> bool:
    on_wayland = bool(os.environ.get("WAYLAND_DISPLAY"))
    copiers = (_WAYLAND_COPIER, *_X_COPIERS) if on_wayland else (*_X_COPIERS, _WAYLAND_COPIER)
    return any(_copy_with(copier, text) for copier in copiers if shutil.which(copier[0]))


def _copy_with(command: Sequence[str], text: str) -> bool:
    try:
        copier = subprocess.run(
            command,
            input=os.fsencode(text),
            # The copier leaves a child that owns the clipboard; it would keep a pipe open as long as it lives.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_COPY_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return copier.returncode == 0


def choose_file(title: str, folder: str | None = None) -> str | None:
    if not has_screen():
        raise FileNotFoundError("There is no display to ask on.")
    start = os.path.join(os.path.abspath(folder), "") if folder else None
    choosers = [
        ["zenity", "--file-selection", f"--title={title}", *([f"--filename={start}"] if start else [])],
        ["kdialog", "--title", title, "--getopenfilename", *([start] if start else [])],
    ]
    if "KDE" in os.environ.get("XDG_CURRENT_DESKTOP", "").split(":"):
        choosers.reverse()
    for dialog in choosers:
        if not shutil.which(dialog[0]):
            continue
        # Without a timeout: the dialog stays open until the person answers. Exit code 1 is "Cancel".
        answer = dialogs.ask(dialog)
        if answer is None or answer.returncode == 1:
            return None
        if answer.returncode == 0:
            return os.fsdecode(answer.stdout.removesuffix(b"\n")) or None
        raise OSError(f"{dialog[0]} failed (exit code {answer.returncode}): {os.fsdecode(answer.stderr).strip()}")
    raise FileNotFoundError("No program for file dialogs was found: install zenity or kdialog.")


def close_dialogs() -> None:
    dialogs.close_all()


def notify(title: str, text: str, icon: str = "") -> bool:
    return notifications.notify(title, text, icon)


def alert(title: str, text: str) -> bool:
    return False


def has_screen() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def session_has_tray() -> bool:
    return bus.has_tray_host() or _has_x11_tray()


def _has_x11_tray() -> bool:
    """Whether a panel owns the X11 tray of this screen. False for a remote display, whose answer may take minutes."""
    display = os.environ.get("DISPLAY", "")
    if not _is_reachable(display):
        return False
    try:
        xlib = importlib.import_module("Xlib.display")
        errors = importlib.import_module("Xlib.error")
    except ImportError:
        return False
    failures = (errors.DisplayError, errors.ConnectionClosedError, errors.XauthError, errors.XNoAuthError, OSError)
    try:
        connection = xlib.Display(display)
        try:
            selection = connection.intern_atom(f"_NET_SYSTEM_TRAY_S{connection.get_default_screen()}")
            return bool(connection.get_selection_owner(selection))
        finally:
            connection.close()
    except failures:
        return False


def _is_reachable(display: str) -> bool:
    """Whether a local X server listens there. Checked first, because python-xlib leaks a socket if none does."""
    found = _LOCAL_DISPLAY.fullmatch(display)
    if found is None:
        return False
    host, number = found[1], int(found[2])
    if host in ("", "unix"):
        path = f"/tmp/.X11-unix/X{number}"  # noqa: S108 - where X servers listen, by convention
        return _connects(socket.AF_UNIX, path) or _connects(socket.AF_UNIX, f"\0{path}")
    return _connects(socket.AF_INET, ("127.0.0.1", 6000 + number))


def _connects(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    with socket.socket(family) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        return probe.connect_ex(address) == 0
