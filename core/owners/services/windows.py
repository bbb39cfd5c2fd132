"""The owner `windows-service:NAME`: a service of Windows that runs Ollama, through whichever wrapper.

Every user may look at a service. To start and to stop it takes an administrator's rights, or rights to that service
that an administrator has given. Windows keeps no output of services, so that only what its wrapper writes tells of it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from core.endpoint import Endpoint
from core.errors import ConfigError
from core.owners.services.manager import Seen, ServiceFailed
from core.owners.services.owner import ServiceOwner
from core.platform import service_control
from core.settings.paths import Paths

_SECONDS = 45.0
_STOP_SECONDS = 40.0
_POLL_SECONDS = 0.1
_STOPPED, _STOPPING = 1, 3
_WORDS = {
    1: "is stopped",
    2: "is starting",
    3: "is stopping",
    4: "runs",
    5: "is about to go on",
    6: "is about to pause",
    7: "is paused",
}


def make(paths: Paths, text: str) -> ServiceOwner:
    """The owner of a text such as `windows-service:Ollama`. Contract: `core.owners.kinds`."""
    return ServiceOwner(paths, text, WindowsService(text.partition(":")[2]))


class WindowsService:
    """One service by its name, not the name that is shown. Contract: `manager.Manager`."""

    seconds = _SECONDS

    def __init__(self, service: str) -> None:
        self.service = service
        self.name = f"The Windows service {service}"

    def look(self) -> Seen:
        """Contract: `Manager.look`."""
        found = self._query()
        words = _WORDS.get(found.state, f"is in the state {found.state}")
        if found.pid is not None and found.state != _STOPPED:
            return Seen(found.pid, words, str(found.pid))
        # 0 is a stop that somebody asked for. What ends without a word is an error of the manager's (1067).
        crashed = found.exit_code != 0
        if crashed:
            words += f" (error {found.exit_code})"
        return Seen(None, words, "", found.exit_code, crashed and found.restarts, not crashed)

    def start(self) -> None:
        """Contract: `Manager.start`."""
        try:
            service_control.start(self.service)
        except OSError as error:
            raise self._in_words(error, "start") from error

    def stop(self) -> None:
        """Contract: `Manager.stop`. One that is starting takes no word before it runs."""
        deadline = time.monotonic() + _STOP_SECONDS
        while True:
            try:
                service_control.stop(self.service)
                break
            except OSError as error:
                is_starting = getattr(error, "winerror", None) == service_control.NOT_NOW
                if not is_starting or time.monotonic() >= deadline:
                    raise self._in_words(error, "stop") from error
            time.sleep(_POLL_SECONDS)
        while self._query().state != _STOPPED:
            if time.monotonic() >= deadline:
                raise ServiceFailed(f"{self.name} does not stop within {_STOP_SECONDS:g} s.")
            time.sleep(_POLL_SECONDS)

    def url(self) -> str:
        """Contract: `Manager.url`. By the environment of the service or the system; its wrapper may set another."""
        told = service_control.variable(self.service, "OLLAMA_HOST")
        try:
            return Endpoint.parse(told or "127.0.0.1").base_url
        except ConfigError as error:
            raise ServiceFailed(f"{self.name} has an OLLAMA_HOST that is no address: {told!r}.") from error

    def how_to_move(self, url: str) -> str:
        """Contract: `Running.how_to_move`."""
        host = Endpoint.parse(url).ollama_host
        return f"Set OLLAMA_HOST to {host} in the system's variables (or in the service's wrapper), and restart it."

    def environment(self) -> Mapping[str, str]:
        """Contract: `Manager.environment`."""
        return {}

    def output(self) -> Sequence[str]:
        """Contract: `Manager.output`."""
        return ()

    def _query(self) -> service_control.Service:
        try:
            return service_control.query(self.service)
        except OSError as error:
            raise self._in_words(error, "look at") from error

    def _in_words(self, error: OSError, what: str) -> ServiceFailed:
        number = getattr(error, "winerror", None)
        if number == service_control.NO_RIGHT:
            return ServiceFailed(
                f"Windows does not let this account {what} {self.name.removeprefix('The ')} (access denied).",
                "It takes an administrator: run aura-ollama from a terminal that was opened with `Run as "
                "administrator`, or have an administrator give your account rights to that service (sc.exe sdset).",
            )
        if number == service_control.NO_SERVICE:
            return ServiceFailed(
                f"{self.name} does not exist.",
                "Correct `owner` in ollama-sidecar.json. `sc.exe query` lists the names; that shown in services.msc "
                "may be another.",
            )
        if number == service_control.DISABLED:
            return ServiceFailed(f"{self.name} is disabled.", "Enable it in services.msc, and try again.")
        return ServiceFailed(f"{self.name} failed: {error.strerror or error}.")
