"""The owner `launchd:LABEL`: a job of macOS's launchd, such as Homebrew's `homebrew.mxcl.ollama` or Ollama.app's agent.

A job lives in a domain: of the user's desktop session, of the user, or of the system, which only root may change. It
is stopped by unloading it (`bootout`), since launchd starts most jobs again whose process was merely killed, and
started by loading its property list again. The list says where it prints to, and when launchd restarts it:
launchd.plist(5).
"""

from __future__ import annotations

import os
import plistlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.parsers.expat import ExpatError

from core.endpoint import Endpoint
from core.errors import ConfigError
from core.owners.services.manager import Seen, ServiceFailed
from core.owners.services.owner import ServiceOwner
from core.platform import launchd
from core.settings.paths import Paths

_SECONDS = 60.0
_SCHEDULED = frozenset({"spawn scheduled", "spawning"})
# sysexits(3): how launchd reports a program that it cannot run at all.
_CANNOT_RUN = 78
_LIBRARIES = ("~/Library/LaunchAgents", "/Library/LaunchAgents", "/Library/LaunchDaemons")
# Homebrew keeps the list of a service that `brew services` has not started beside the program.
_KEGS = ("/opt/homebrew/opt/{name}", "/usr/local/opt/{name}")
# Homebrew's labels, of before and after https://github.com/Homebrew/brew/pull/23741.
_HOMEBREW = ("homebrew.mxcl.", "sh.brew.")


def make(paths: Paths, text: str) -> ServiceOwner:
    """The owner of a text such as `launchd:homebrew.mxcl.ollama`. Contract: `core.owners.kinds`."""
    return ServiceOwner(paths, text, Launchd(text.partition(":")[2]))


class Launchd:
    """One job by its label. Contract: `manager.Manager`."""

    seconds = _SECONDS

    def __init__(self, label: str) -> None:
        self.label = label
        self.name = f"The job {label} of launchd"
        self._plist: str | None = None
        """Where it was loaded from, once that was seen: launchd forgets it when it is unloaded."""
        self._job: launchd.Job | None = None
        """What launchd told of it last, None if it is not loaded."""

    def look(self) -> Seen:
        """Contract: `Manager.look`."""
        found = self._found()
        if found is None:
            self._path()
            return Seen(None, "is not loaded", is_down=True)
        _, job = found
        code = -job.last_signal if job.last_signal else job.last_exit_code
        if job.pid is not None:
            # launchd counts from 1 again when it is loaded anew.
            return Seen(job.pid, "runs", f"{job.runs} {job.pid}", code)
        keeps = _restarts(self._read().get("KeepAlive"), code, was_killed=job.last_reason is not None)
        words = f"is {job.state}"
        if code == _CANNOT_RUN:
            words += ": launchd could not run its program (78), look at the paths in its property list"
        elif job.last_reason:
            words += f": the system ended it ({job.last_reason})"
        # An orderly end that nothing mends was somebody's wish: `launchctl kill TERM`, or Ollama's own menu.
        will_restart = job.state in _SCHEDULED or keeps
        return Seen(None, words, "", code, will_restart, code == 0 and not will_restart)

    def start(self) -> None:
        """Contract: `Manager.start`."""
        found = self._found()
        try:
            if found is None:
                path = self._path()
                session, user, system = launchd.domains()
                domain = system if path.startswith(_LIBRARIES[2]) else session
                try:
                    launchd.bootstrap(domain, path)
                except launchd.NoDomain:
                    # As `brew services` does it for a user who is there by ssh only.
                    domain = user
                    launchd.bootstrap(domain, path)
                launchd.kickstart(f"{domain}/{self.label}")
            else:
                launchd.kickstart(found[0])
        except launchd.Failed as error:
            raise ServiceFailed(str(error)) from error

    def stop(self) -> None:
        """Contract: `Manager.stop`."""
        try:
            if found := self._found():
                launchd.bootout(found[0])
        except launchd.Failed as error:
            raise ServiceFailed(str(error)) from error

    def url(self) -> str:
        """Contract: `Manager.url`. What is loaded keeps the variables that its list had then."""
        found = self._found()
        told = ((found[1].environment if found else None) or self._variables()).get("OLLAMA_HOST")
        try:
            told = told or launchd.variable("OLLAMA_HOST")
            return Endpoint.parse(told or "127.0.0.1").base_url
        except launchd.Failed as error:
            raise ServiceFailed(str(error)) from error
        except ConfigError as error:
            raise ServiceFailed(f"{self.name} has an OLLAMA_HOST that is no address: {told!r}.") from error

    def how_to_move(self, url: str) -> str:
        """Contract: `Running.how_to_move`."""
        host = Endpoint.parse(url).ollama_host
        # Homebrew writes its list anew each time; the variable of the session reaches it all the same.
        if self.label.startswith(_HOMEBREW):
            return (
                f"Run `launchctl setenv OLLAMA_HOST {host}` and stop and start it, or set `ollamaUrl` to its address."
            )
        place = self._plist or "its property list"
        return f"Set OLLAMA_HOST to {host} in EnvironmentVariables of {place}, and stop and start it."

    def environment(self) -> Mapping[str, str]:
        """Contract: `Manager.environment`. Of its property list, and of the session (`launchctl setenv`)."""
        return dict(self._job.environment if self._job else {}) | self._variables()

    def output(self) -> Sequence[str]:
        """Contract: `Manager.output`."""
        job = self._job
        content = self._read()
        paths = (job.stdout, job.stderr) if job else (content.get("StandardOutPath"), content.get("StandardErrorPath"))
        return [path for path in paths if isinstance(path, str) and path.startswith("/") and path != os.devnull]

    def _found(self) -> tuple[str, launchd.Job] | None:
        """Under which target launchd has loaded it, and what it knows of it; None if it has not."""
        try:
            for domain in launchd.domains():
                target = f"{domain}/{self.label}"
                if job := launchd.job(target):
                    self._job = job
                    self._plist = job.plist or self._plist
                    return target, job
        except launchd.Failed as error:
            raise ServiceFailed(str(error)) from error
        self._job = None
        return None

    def _path(self) -> str:
        """Its property list. Raises ServiceFailed if there is none."""
        keg = self.label
        for prefix in _HOMEBREW:
            keg = keg.removeprefix(prefix)
        folders = [*_LIBRARIES, *(each.format(name=keg) for each in _KEGS)]
        places = [Path(folder).expanduser() / f"{self.label}.plist" for folder in folders]
        if self._plist:
            places.insert(0, Path(self._plist))
        for place in places:
            if place.is_file():
                return str(place)
        raise ServiceFailed(
            f"{self.name} is not loaded, and there is no {self.label}.plist.",
            f"Correct `owner` in ollama-sidecar.json, or install that service; looked in {', '.join(folders)}.",
        )

    def _variables(self) -> dict[str, str]:
        variables = self._read().get("EnvironmentVariables")
        if not isinstance(variables, Mapping):
            return {}
        return {str(name): value for name, value in variables.items() if isinstance(value, str)}

    def _read(self) -> Mapping[str, object]:
        """What its property list says, nothing if it is loaded and the list was deleted. Raises ServiceFailed."""
        try:
            path = self._path()
        except ServiceFailed:
            if self._job is None:
                raise
            return {}
        try:
            with Path(path).open("rb") as file:
                content = plistlib.load(file)
        except OSError as error:
            raise ServiceFailed(f"{path} cannot be read: {error.strerror or type(error).__name__}.") from error
        except (ValueError, LookupError, ExpatError) as error:
            raise ServiceFailed(
                f"{path} is no property list.", f"See what is wrong with it by: plutil -lint {path}"
            ) from error
        return content if isinstance(content, dict) else {}


def _restarts(keep_alive: object, code: int | None, *, was_killed: bool = False) -> bool:
    """Whether launchd starts a job again that has ended so, by its KeepAlive. `was_killed`: the system ended it."""
    if isinstance(keep_alive, bool):
        return keep_alive
    if not isinstance(keep_alive, Mapping):
        return False
    successful, crashed = keep_alive.get("SuccessfulExit"), keep_alive.get("Crashed")
    if isinstance(successful, bool) and (code == 0) == successful:
        return True
    return isinstance(crashed, bool) and (was_killed or (code is not None and code < 0)) == crashed
