"""`aura-ollama service`: the sidecar at each login, without a tray, run by the system's service manager."""

from __future__ import annotations

import argparse
import ipaddress
from typing import TYPE_CHECKING

from cli import exits, output
from cli.client import Failed
from cli.common import paths_of
from core.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.service import Shown

_STAYS = "An Ollama that it started goes on, and the next sidecar adopts it."


def add_options(parser: argparse.ArgumentParser) -> None:
    """What to do, and with which options the sidecar is to run."""
    parser.add_argument(
        "action",
        choices=("install", "uninstall", "status"),
        help="install: start the sidecar at each login and at once, or once more after an upgrade; uninstall: end and "
        "remove it; status: what there is of it. Ollama goes on in each case",
    )
    parser.add_argument(
        "--host", type=_host, help="install: IP address that it listens on (default: settings, 127.0.0.1)"
    )
    parser.add_argument("--port", type=_port, help="install: port that it listens on (default: settings, 5006)")
    parser.add_argument("--verbose", action="store_true", help="install: log every call")


def _host(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no IP address; give one of this machine's") from None


def _port(text: str) -> str:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 65535:
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is no port of a service; give a whole number from 1 to 65535")


def run(options: argparse.Namespace) -> int:
    """Carry out the action. Raises Failed."""
    from core.service import ServiceRefused

    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "install": _install,
        "uninstall": _uninstall,
        "status": _status,
    }
    try:
        return actions[options.action](options)
    except ServiceRefused as error:
        raise Failed(error.message, error.action) from error


def _install(options: argparse.Namespace) -> int:
    from core.service import install

    again = []
    if options.host:
        again += ["--host", options.host]
    if options.port:
        again += ["--port", options.port]
    if options.verbose:
        again.append("--verbose")
    return _show(options, install(paths_of(options), again))


def _uninstall(options: argparse.Namespace) -> int:
    from core.service import uninstall

    was_there = uninstall()
    if options.json:
        output.as_json({"success": True, "removed": was_there})
    else:
        output.line(f"The service is removed. {_STAYS}" if was_there else "There is no service of ours.")
    return exits.DONE


def _status(options: argparse.Namespace) -> int:
    from core.service import look

    return _show(options, look())


def _show(options: argparse.Namespace, shown: Shown) -> int:
    state = shown.state
    if options.json:
        output.as_json(
            {
                "manager": shown.manager,
                "installed": shown.place is not None,
                "place": shown.place,
                "origin": shown.origin,
                "enabled": state.is_enabled if state else False,
                "running": state.is_running if state else False,
                "pid": state.pid if state else None,
                "state": state.says if state else None,
                "lingers": state.lingers if state else None,
                "trayAtLogin": shown.login_entry,
            }
        )
        return exits.DONE
    if state is None or shown.place is None:
        output.line("There is no service of ours. `aura-ollama service install` makes one.")
    else:
        output.fields(
            [
                ("Service", on_one_line(shown.place)),
                ("Manager", shown.manager),
                ("At login", "starts" if state.is_enabled else "does not start"),
                ("State", on_one_line(state.says)),
                ("Pid", None if state.pid is None else str(state.pid)),
                ("Without login", {True: "runs", False: "does not run", None: None}[state.lingers]),
            ]
        )
        if str(shown.origin) != "ours":
            output.line("That entry is not, or no longer, as `aura-ollama service install` has written it.")
        if shown.lingers_how:
            output.line(shown.lingers_how)
    if shown.login_entry:
        output.line("The tray starts at login as well. Only one of them serves; the other ends and says so.")
    return exits.DONE
