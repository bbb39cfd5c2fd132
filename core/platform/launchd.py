"""macOS's launchd, asked by launchctl(1): what is loaded, and load, start and unload it. Blocks; call it in a thread.

A target is `DOMAIN/LABEL`, where the domain is `system`, or `gui/UID` for what runs in a user's desktop session.
launchctl's texts are for people and not fixed by Apple, so little of them is read: top-level lines `key = value` of
`print`, the variables in three of its blocks, the list of services of a domain, what `print-disabled` says of a label,
and exit codes, which are errno's and launchd's own (`launchctl error N` names them).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

_SECONDS = 15.0
_LOOK_SECONDS = 2.0
"""How long it may take to list a domain, for which somebody waits who wants to know whose a port is."""
_GONE_SECONDS = 20.0
_POLL_SECONDS = 0.1
_RETRY_SECONDS = 0.5
_RETRIES = 6
# 113 is what `print` and `kickstart` answer for a label that is not loaded, and 3 (ESRCH) is what `bootout` does;
# 36 (EINPROGRESS): it is ending still.
_NOT_LOADED = frozenset({3, 113})
_IN_PROGRESS = 36
# There is no such domain: of a user who is not logged in on the screen, as over ssh.
_NO_DOMAIN = frozenset({112, 125})
# 5 (EIO) also while what was unloaded a moment ago is not quite gone; 37 and 17: it is loaded already.
_IO = 5
_LOADED = frozenset({17, 37})
_DISABLED = 119
_NO_RIGHT = frozenset({1, 13, 150})
_LINE = re.compile(r"\t([a-z][a-z /-]*) = (.*)")
_VARIABLE = re.compile(r"\t\t([A-Za-z_]\w*) => (.*)", re.ASCII)
_ENVIRONMENTS = frozenset({"inherited environment", "default environment", "environment"})
# A row of a domain's services: its pid, which is 0 or - for what does not run, its last status, its label.
_SERVICE = re.compile(r"\t\t\s*(\d+)\s+\S+\s+(\S+)")
_NUMBER = re.compile(r"-?\d+")


class Failed(OSError):
    """launchctl refuses, fails, or is not there; `str()` is sentences for a person."""


class NoDomain(Failed):
    """That domain is not there: nobody is logged in on the screen for whom it would be."""


@dataclass(frozen=True, slots=True)
class Job:
    """A service that launchd has loaded. What launchctl does not tell is None."""

    state: str
    """launchd's word: `running`, `xpcproxy` (its program is about to run, with that pid), `waiting`, `not running`,
    `spawn scheduled` (it waits to start it again) and others."""
    pid: int | None
    runs: int | None
    last_exit_code: int | None
    """78 also if launchd could not run the program at all."""
    last_signal: int | None
    last_reason: str | None
    """Why its last run was ended by the system, such as `OS_REASON_CODESIGNING` (and `JETSAM_…`: no memory).

    launchctl prints it in place of an exit code or a signal."""
    plist: str | None
    """The path of the property list that it was loaded from."""
    stdout: str | None
    stderr: str | None
    environment: Mapping[str, str] = field(default_factory=dict)
    """The variables that it gets, as far as launchctl tells: one of several lines is cut after its first."""


def is_here() -> bool:
    """Whether this system has a launchctl."""
    return shutil.which("launchctl") is not None


def job(target: str) -> Job | None:
    """What launchd knows of it, None if nothing of that label is loaded, or there is no such domain. Raises Failed."""
    answer = _run("print", target)
    if answer.returncode in _NOT_LOADED | _NO_DOMAIN:
        return None
    _check(answer, target)
    return parse(answer.stdout)


def parse(text: str) -> Job:
    """What `launchctl print` says of a service. Of its nested blocks only those with variables are read."""
    found: dict[str, str] = {}
    environment: dict[str, str] = {}
    block: str | None = None
    for line in text.splitlines():
        if block is not None:
            # An argument of several lines is printed raw, so only the end of the block itself ends it.
            if line == "\t}":
                block = None
            elif block in _ENVIRONMENTS and (variable := _VARIABLE.fullmatch(line)):
                environment[variable[1]] = variable[2]
        elif match := _LINE.fullmatch(line):
            if match[2] == "{":
                block = match[1]
            else:
                found.setdefault(match[1].strip(), match[2].strip())
    return Job(
        state=found.get("state", "unknown"),
        pid=_whole(found.get("pid")),
        runs=_whole(found.get("runs")),
        last_exit_code=_whole(found.get("last exit code")),
        last_signal=_trailing(found.get("last terminating signal")),
        last_reason=found.get("last exit reason"),
        plist=found.get("path"),
        stdout=found.get("stdout path"),
        stderr=found.get("stderr path"),
        environment=environment,
    )


def target_of(pids: Collection[int]) -> str | None:
    """The target of a job whose own process is one of these; None if none is. Raises Failed.

    Asks at most three times, each for some tenths of a second.
    """
    for domain in domains():
        answer = _run("print", domain, seconds=_LOOK_SECONDS)
        if answer.returncode in _NO_DOMAIN | _NOT_LOADED:
            continue
        _check(answer, domain)
        if label := label_in(answer.stdout, pids):
            return f"{domain}/{label}"
    return None


def label_in(text: str, pids: Collection[int]) -> str | None:
    """The label with one of these pids in the list of services that `launchctl print` shows of a domain."""
    _, _, rest = text.partition("\n\tservices = {\n")
    for line in rest.partition("\n\t}")[0].splitlines():
        row = _SERVICE.fullmatch(line)
        if row and int(row[1]) and int(row[1]) in pids:
            return row[2]
    return None


def _whole(text: str | None) -> int | None:
    """The number that `text` begins with: `0`, `78: EX_CONFIG`; None for `(never exited)`."""
    match = _NUMBER.match(text or "")
    return int(match[0]) if match else None


def _trailing(text: str | None) -> int | None:
    """The number that `text` ends with: `Terminated: 15`."""
    match = re.search(r"\d+$", text or "")
    return int(match[0]) if match else None


def bootstrap(domain: str, plist: str) -> None:
    """Load what that property list describes; fine if it is loaded. Raises Failed; NoDomain if there is none.

    A label that was disabled (`launchctl disable`) is not loaded, whatever its property list says.
    """
    label = os.path.basename(plist).removesuffix(".plist")
    answer = _run("bootstrap", domain, plist)
    for left in range(_RETRIES, -1, -1):
        # Some systems answer EIO for what is disabled, too, and do so for ever.
        is_disabled = answer.returncode == _DISABLED or (answer.returncode == _IO and _is_disabled(domain, label))
        if is_disabled:
            raise Failed(
                f"{label} is disabled, so that launchd does not load it. Somebody has decided so; to take that back: "
                f"launchctl enable {domain}/{label}"
            )
        if answer.returncode != _IO or not left:
            break
        time.sleep(_RETRY_SECONDS)
        answer = _run("bootstrap", domain, plist)
    if answer.returncode in _NO_DOMAIN:
        raise NoDomain(f"launchd has no domain {domain}: nobody is logged in on the screen as this user.")
    if answer.returncode not in _LOADED:
        _check(answer, plist)


def _is_disabled(domain: str, label: str) -> bool:
    """Whether somebody has disabled that label there. The word for it differs between systems."""
    text = _run("print-disabled", domain).stdout
    return re.search(rf'"{re.escape(label)}" => (?:disabled|true)\b', text) is not None


def kickstart(target: str) -> None:
    """Start it, unless it runs. Raises Failed, also if it is not loaded."""
    _check(_run("kickstart", target), target)


def bootout(target: str) -> None:
    """Unload it, by which it ends and is not started again before the next login. Fine if it is not loaded.

    Returns once it is gone. Raises Failed.
    """
    answer = _run("bootout", target)
    if answer.returncode in _NOT_LOADED:
        return
    if answer.returncode != _IN_PROGRESS:
        _check(answer, target)
    deadline = time.monotonic() + _GONE_SECONDS
    while job(target) is not None:
        if time.monotonic() >= deadline:
            raise Failed(
                f"launchd did not end {target} within {_GONE_SECONDS:g} s. Look with: launchctl print {target}"
            )
        time.sleep(_POLL_SECONDS)


def domains() -> tuple[str, str, str]:
    """The domains in which a job of this user's may be loaded: of the desktop session, of the user, of the system."""
    if sys.platform == "win32":
        return "gui", "user", "system"
    return f"gui/{os.getuid()}", f"user/{os.getuid()}", "system"


def variable(name: str) -> str | None:
    """What `launchctl setenv` has set for all jobs of this session, None if it has not. Raises Failed."""
    answer = _run("getenv", name)
    return answer.stdout.strip() or None if not answer.returncode else None


def enable(target: str) -> None:
    """Let it be loaded, though somebody had disabled it. Raises Failed."""
    _check(_run("enable", target), target)


def _check(answer: subprocess.CompletedProcess[str], what: str) -> None:
    if not answer.returncode:
        return
    said = " ".join((answer.stderr.strip() or answer.stdout.strip()).split())
    if answer.returncode in _NO_RIGHT:
        raise Failed(
            f"launchd does not let this user control {what} ({said}). What is loaded for the whole system only an "
            "administrator may start and stop, with sudo launchctl."
        )
    raise Failed(f"launchctl failed for {what} ({answer.returncode}): {said}")


def _run(*arguments: str, seconds: float = _SECONDS) -> subprocess.CompletedProcess[str]:
    program = shutil.which("launchctl")
    if program is None:
        raise Failed("There is no launchctl on this system: launchd is macOS's.")
    try:
        return subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"launchctl {arguments[0]} did not answer within {seconds:g} s.") from error
