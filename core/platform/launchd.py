"""macOS's launchd, asked by launchctl(1): what is loaded, and load, start and unload it. Blocks; call it in a thread.

A target is `DOMAIN/LABEL`, where the domain is `system`, or `gui/UID` for what runs in a user's desktop session.
launchctl's texts are for people and not fixed by Apple, so little of them is read: top-level lines `key = value` of
`print`, and exit codes, which are errno's and launchd's own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass

_SECONDS = 15.0
_GONE_SECONDS = 20.0
_POLL_SECONDS = 0.1
_RETRY_SECONDS = 0.5
_RETRIES = 6
# `launchctl error N` names these. 113 is what `print` and `kickstart` answer for a label that is not loaded, and 3
# (ESRCH) is what `bootout` does; 36 (EINPROGRESS): it is ending still.
_NOT_LOADED = frozenset({3, 113})
_IN_PROGRESS = 36
# 5 (EIO) also while what was unloaded a moment ago is not quite gone; 37 and 17: it is loaded already.
_IO = 5
_LOADED = frozenset({17, 37})
_NO_RIGHT = frozenset({1, 13, 150})
_LINE = re.compile(r"\t([a-z][a-z /-]*) = (.*)")
_NUMBER = re.compile(r"-?\d+")


class Failed(OSError):
    """launchctl refuses, fails, or is not there; `str()` is sentences for a person."""


@dataclass(frozen=True, slots=True)
class Job:
    """A service that launchd has loaded. What launchctl does not tell is None."""

    state: str
    """launchd's word: `running`, `not running`, `spawn scheduled` (it waits to start it again) and others."""
    pid: int | None
    runs: int | None
    last_exit_code: int | None
    last_signal: int | None
    plist: str | None
    """The path of the property list that it was loaded from."""
    stdout: str | None
    stderr: str | None


def is_here() -> bool:
    """Whether this system has a launchctl."""
    return shutil.which("launchctl") is not None


def job(target: str) -> Job | None:
    """What launchd knows of it, None if nothing of that label is loaded. Raises Failed."""
    answer = _run("print", target)
    if answer.returncode in _NOT_LOADED:
        return None
    _check(answer, target)
    return parse(answer.stdout)


def parse(text: str) -> Job:
    """What `launchctl print` says of a service. Nested lines, of its endpoints and its environment, are left out."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if match := _LINE.fullmatch(line):
            found.setdefault(match[1].strip(), match[2].strip())
    return Job(
        state=found.get("state", "unknown"),
        pid=_whole(found.get("pid")),
        runs=_whole(found.get("runs")),
        last_exit_code=_whole(found.get("last exit code")),
        last_signal=_trailing(found.get("last terminating signal")),
        plist=found.get("path"),
        stdout=found.get("stdout path"),
        stderr=found.get("stderr path"),
    )


def _whole(text: str | None) -> int | None:
    """The number that `text` begins with: `0`, `78: EX_CONFIG`; None for `(never exited)`."""
    match = _NUMBER.match(text or "")
    return int(match[0]) if match else None


def _trailing(text: str | None) -> int | None:
    """The number that `text` ends with: `Terminated: 15`."""
    match = re.search(r"\d+$", text or "")
    return int(match[0]) if match else None


def bootstrap(domain: str, plist: str) -> None:
    """Load what that property list describes; fine if it is loaded. Raises Failed."""
    answer = _run("bootstrap", domain, plist)
    for _ in range(_RETRIES):
        if answer.returncode != _IO:
            break
        time.sleep(_RETRY_SECONDS)
        answer = _run("bootstrap", domain, plist)
    if answer.returncode not in _LOADED:
        _check(answer, plist)


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


def domains() -> tuple[str, ...]:
    """The domains in which a job of this user's may be loaded: of the desktop session, of the user, of the system."""
    if sys.platform == "win32":
        return ("system",)
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


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
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
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"launchctl {arguments[0]} did not answer within {_SECONDS:g} s.") from error
