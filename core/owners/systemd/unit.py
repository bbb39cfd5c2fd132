"""What systemd says of one service, and what that means. Asking is `look`'s; everything else is pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.endpoint import WILDCARDS, Endpoint
from core.errors import ConfigError
from core.owners.exit import Exit, Sequel
from core.owners.systemd.bus import MANAGER, MANAGER_PATH, SYSTEMD, Bus
from core.owners.systemd.environment import EnvironmentFiles
from core.settings.schema import DEFAULT_URL

_PROPERTIES = "org.freedesktop.DBus.Properties"
_UP = frozenset({"active", "activating", "reloading", "deactivating"})
_RESTARTING = frozenset({"auto-restart", "auto-restart-queued"})
_EXITED = 1
"""CLD_EXITED of waitid(2): `ExecMainStatus` is an exit code, else a signal."""
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_PORT = re.compile(r":[0-9]+\Z")


@dataclass(frozen=True, slots=True)
class Unit:
    """A service as it is now. `invocation` tells one start of it from any other; empty if it was never started.

    `environment` is what systemd gives the program, as far as it is known: without the files in `unread`. Without those
    in `missing` it cannot be started. `stop_seconds` is how long a stop of it may take.
    """

    name: str
    is_user: bool
    path: str
    load: str
    load_error: str
    active: str
    sub: str
    result: str
    main_pid: int
    invocation: str
    restarts: int
    exit_code: int
    exit_status: int
    needs_reload: bool
    control_group: str
    environment: Mapping[str, str]
    unread: tuple[str, ...]
    missing: tuple[str, ...]
    stop_seconds: float

    @property
    def text(self) -> str:
        """The text of the owner in the settings."""
        return f"{'systemd-user' if self.is_user else 'systemd'}:{self.name}"

    @property
    def systemctl(self) -> str:
        """The command that controls it, for people."""
        return "systemctl --user" if self.is_user else "sudo systemctl"

    @property
    def is_restarting(self) -> bool:
        """Whether systemd is about to start it again by itself, after a crash."""
        return self.sub in _RESTARTING

    @property
    def is_up(self) -> bool:
        """Whether its main process lives."""
        return self.active in _UP and self.main_pid > 0 and not self.is_restarting

    @property
    def is_ending(self) -> bool:
        """Whether something of it may live although its main process has ended."""
        return self.active in ("deactivating", "activating") and not self.is_restarting

    @property
    def endpoint(self) -> Endpoint:
        """Where its Ollama listens, by its OLLAMA_HOST: https://github.com/ollama/ollama/blob/main/envconfig/config.go."""
        text = self.environment.get("OLLAMA_HOST", "").strip().strip("\"'").rpartition("://")[2].rstrip("/")
        text = text if _PORT.search(text) else f"{text}:11434"
        try:
            return Endpoint.parse(f"http://{'127.0.0.1' if text.startswith(':') else ''}{text}")
        except ConfigError:
            return Endpoint.parse(DEFAULT_URL)

    def listens_at(self, url: str) -> bool:
        """Whether that is where its Ollama listens."""
        try:
            wanted = Endpoint.parse(url)
        except ConfigError:
            return False
        own = self.endpoint
        is_same = own.host in WILDCARDS or own.host == wanted.host or {own.host, wanted.host} <= _LOOPBACK
        return own.port == wanted.port and is_same

    def url(self, wanted: str = "") -> str:
        """Where its Ollama listens: `wanted`, if it is there, in those words."""
        if self.listens_at(wanted):
            return wanted
        own = self.endpoint
        return f"http://127.0.0.1:{own.port}" if own.host in WILDCARDS else own.base_url

    def how_to_move(self, url: str) -> str:
        """What makes it listen at `url`, for people: a drop-in."""
        wanted = Endpoint.parse(url).ollama_host
        return (
            f"Run `{self.systemctl} edit {self.name}`, write `[Service]` and `Environment=OLLAMA_HOST={wanted}` there, "
            f"and then `{self.systemctl} restart {self.name}`; or set ollamaUrl to {self.url()}."
        )

    def why_not_startable(self) -> tuple[str, str] | None:
        """Why a start of it cannot succeed, and the way out; None if nothing is known against it."""
        show = f"{self.systemctl.removeprefix('sudo ')} status {self.name}"
        if self.load == "masked":
            return f"{self.name} is masked: it may not be started.", f"Run `{self.systemctl} unmask {self.name}`."
        if self.load == "not-found":
            units = f"{self.systemctl.removeprefix('sudo ')} list-unit-files '*ollama*'"
            return (
                f"systemd has no {self.name}.",
                f"Correct `owner` in ollama-sidecar.json; `{units}` lists what there is.",
            )
        if self.load != "loaded":
            return f"systemd cannot use {self.name}: {self.load_error or self.load}.", f"See `{show}`."
        if self.missing:
            return (
                f"{self.name} takes variables from {self.missing[0]}, which is not there.",
                f"Make that file, or write `-` before its path in `{self.systemctl} edit --full {self.name}`.",
            )
        return None

    def how_it_ended(self, invocation: str, restarts: int) -> Exit:
        """How the start `invocation` of it ended, which is not up any more; it had `restarts` then."""
        if self.invocation != invocation and not self.is_restarting:
            if self.restarts > restarts:
                return Exit(None, f"ended, and {self.name} has started it again", None, sequel=Sequel.RESTARTED)
            return Exit(None, f"was restarted by {self.name}", None, sequel=Sequel.STOPPED)
        code = self.exit_status if self.exit_code == _EXITED else -self.exit_status
        if self.is_restarting:
            return Exit(code, "exited", None, sequel=Sequel.RESTARTED)
        if self.result == "success":
            return Exit(code, "stopped", None, sequel=Sequel.STOPPED)
        return Exit(code, "exited", None, sequel=Sequel.LEFT)

    def why_failed(self) -> str:
        """Why it is in the state `failed`, in a sentence."""
        if self.result == "start-limit-hit":
            return f"{self.name} crashed too often."
        if self.exit_code == _EXITED:
            return f"{self.name} failed: it ended with exit code {self.exit_status}."
        if self.exit_code:
            try:
                how = signal.Signals(self.exit_status).name
            except ValueError:
                how = f"signal {self.exit_status}"
            return f"{self.name} failed: it was ended by {how}."
        return f"{self.name} failed ({self.result})."


async def look(bus: Bus, name: str, files: EnvironmentFiles, *, is_user: bool) -> Unit:
    """The unit as it is now, also one that systemd does not have. Raises BusTrouble and Refused."""
    (path,) = await bus.call(MANAGER_PATH, MANAGER, "LoadUnit", "s", [name])
    unit = await _all(bus, path, f"{SYSTEMD}.Unit")
    service = await _all(bus, path, f"{SYSTEMD}.Service")
    (common,) = await bus.call(MANAGER_PATH, _PROPERTIES, "Get", "ss", [MANAGER, "Environment"])
    variables = await files.read(service["EnvironmentFiles"])
    return Unit(
        name=name,
        is_user=is_user,
        path=path,
        load=unit["LoadState"],
        load_error=unit["LoadError"][1],
        active=unit["ActiveState"],
        sub=unit["SubState"],
        result=service["Result"],
        main_pid=service["MainPID"],
        invocation=bytes(unit["InvocationID"]).hex(),
        restarts=service["NRestarts"],
        exit_code=service["ExecMainCode"],
        exit_status=service["ExecMainStatus"],
        needs_reload=unit["NeedDaemonReload"],
        control_group=service["ControlGroup"],
        environment=_environment([*common.value, *service["Environment"]]) | variables.found,
        unread=variables.unread,
        missing=variables.missing,
        stop_seconds=min(service["TimeoutStopUSec"] / 1e6, 600.0),
    )


async def _all(bus: Bus, path: str, interface: str) -> dict[str, Any]:
    (found,) = await bus.call(path, _PROPERTIES, "GetAll", "s", [interface])
    return {name: variant.value for name, variant in found.items()}


def _environment(entries: list[str]) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
