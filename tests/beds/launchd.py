"""A stand-in for launchd and its launchctl, since the real ones run on a Mac only. Loads jobs, and keeps them alive.

`install(folder)` writes an executable `launchctl` there, to be put first on the PATH; `end(folder)` ends all its jobs.
It knows `print`, also of a domain, `print-disabled`, `bootstrap`, `bootout`, `kickstart`, `enable`, `disable`, `kill`
and `getenv`, with the exit codes that macOS has for what is loaded already (37), not loaded (113, 3), disabled (119),
still ending (36), not allowed (1), and for a domain that is not there (125). Like the real one it opens the
files for a job's output anew at each run, and starts a job again as its KeepAlive says, here after a second.

What it prints is written after descriptions of the format, not copied from a Mac: docs/macos.md has a script by which a
person who has one can compare.
"""

from __future__ import annotations

import contextlib
import json
import os
import plistlib
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

THROTTLE_SECONDS = 1.0
SYSTEM = "system/"
EIO = "eio"
"""The name of a file in the folder with the number of times that `bootstrap` is going to fail by EIO."""

HOLD = "hold"
"""The name of a file in the folder that `bootstrap` turns into `held`, and then it waits until that is gone."""
DISABLED = "disabled"
"""The name of a file in the folder with the targets that are disabled, one in each line."""
NO_DOMAINS = "no-domains"
"""The name of a file in the folder with the domains that are not there, one in each line."""

# Without site packages, since each call of launchctl is a Python of its own.
_SELF = (sys.executable, "-I", "-S", __file__)


def install(folder: Path) -> Path:
    """Write `launchctl` into the folder, which holds its state as well. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "launchctl"
    program.write_text(f'#!/bin/sh\nexec {" ".join(map(shlex.quote, _SELF))} {shlex.quote(str(folder))} "$@"\n')
    program.chmod(0o755)
    return folder


def end(folder: Path) -> None:
    """End all jobs and what watches them."""
    for place in folder.glob("*.job"):
        watcher = json.loads(place.read_text())["watcher"]
        with contextlib.suppress(ProcessLookupError):
            os.kill(watcher, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while place.exists() and time.monotonic() < deadline:
            time.sleep(0.02)


def printed(target: str, job: dict[str, Any]) -> str:
    """What `launchctl print` says of a job: one tab before its own lines, two before those of its parts."""
    content = job["content"]
    lines = [f"{target} = {{", f"\tactive count = {int(bool(job['pid']))}", f"\tpath = {job['plist']}"]
    lines += ["\ttype = LaunchAgent", f"\tstate = {job['state']}", ""]
    lines += [f"\tprogram = {content['ProgramArguments'][0]}", "\targuments = {"]
    lines += [*(f"\t\t{word}" for word in content["ProgramArguments"]), "\t}", ""]
    for key, name in (("StandardOutPath", "stdout path"), ("StandardErrorPath", "stderr path")):
        if key in content:
            lines.append(f"\t{name} = {content[key]}")
    lines += ["\tinherited environment = {", "\t\tPATH => /usr/bin:/bin", "\t}", "", "\tenvironment = {"]
    lines += [f"\t\t{name} => {value}" for name, value in content.get("EnvironmentVariables", {}).items()]
    lines += [f"\t\tXPC_SERVICE_NAME => {content['Label']}", "\t}", "", f"\truns = {job['runs']}"]
    if job["pid"]:
        lines.append(f"\tpid = {job['pid']}")
    if job["signal"]:
        lines.append(f"\tlast terminating signal = {signal.strsignal(job['signal'])}: {job['signal']}")
    else:
        lines.append(f"\tlast exit code = {'(never exited)' if job['code'] is None else job['code']}")
    return "\n".join([*lines, "", "\tendpoints = {", "\t\tstate = active", "\t}", "}", ""])


def _watch(folder: Path, target: str, plist: str) -> None:
    """What launchd does for one job, until it is told to end."""
    content = plistlib.loads(Path(plist).read_bytes())
    place = folder / f"{content['Label']}.job"
    job: dict[str, Any] = {"target": target, "plist": plist, "content": content, "watcher": os.getpid()}
    job |= {"state": "not running", "pid": None, "runs": 0, "code": None, "signal": None}
    told = threading.Event()
    child: subprocess.Popen[bytes] | None = None

    def on_end(number: int, frame: object) -> None:
        told.set()
        if child:
            child.terminate()

    signal.signal(signal.SIGTERM, on_end)
    kick = folder / f"{content['Label']}.kick"
    wanted = bool(content.get("RunAtLoad") or content.get("KeepAlive"))
    while not told.is_set():
        if not wanted:
            _keep(place, job)
            while not (told.is_set() or kick.exists()):
                time.sleep(0.02)
        kick.unlink(missing_ok=True)
        if told.is_set():
            break
        with contextlib.ExitStack() as files:
            out, err = (
                files.enter_context(open(content.get(key, os.devnull), "ab"))  # noqa: PTH123 - /dev/null is no file
                for key in ("StandardOutPath", "StandardErrorPath")
            )
            env = {"PATH": os.environ["PATH"], **content.get("EnvironmentVariables", {})}
            child = subprocess.Popen(
                content["ProgramArguments"], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env
            )
        job |= {"state": "running", "pid": child.pid, "runs": job["runs"] + 1}
        _keep(place, job)
        code = child.wait()
        keeps = content.get("KeepAlive", False)
        wanted = keeps if isinstance(keeps, bool) else (code == 0) == keeps.get("SuccessfulExit", code == 0)
        job |= {"pid": None, "code": code if code >= 0 else None, "signal": -code if code < 0 else None}
        job["state"] = "spawn scheduled" if wanted else "not running"
        if not told.is_set():
            _keep(place, job)
            time.sleep(THROTTLE_SECONDS)
    place.unlink()


def _keep(place: Path, job: dict[str, Any]) -> None:
    draft = place.with_suffix(".draft")
    draft.write_text(json.dumps(job))
    draft.replace(place)


def main(folder: Path, command: str, *arguments: str) -> int:  # noqa: C901 - one case a command
    """One call of launchctl."""
    jobs = {job["target"]: job for job in (json.loads(place.read_text()) for place in folder.glob("*.job"))}
    match command, arguments:
        case "print", (domain,) if domain == "system" or (domain.count("/") == 1 and not domain.startswith(SYSTEM)):
            if domain in _without(folder):
                return _fail(125, "Could not print domain: 125: Domain does not support specified action")
            rows = [job for job in jobs.values() if job["target"].rpartition("/")[0] == domain]
            print(f"{domain} = {{\n\ttype = user\n\tservices = {{")
            print("\t\t       0      - \tcom.apple.lskdd")
            for job in rows:
                print(f"\t\t{job['pid'] or 0:>8}      - \t{job['content']['Label']}")
            print("\t}\n\n\tunmanaged processes = {\n\t\t       1      - \tx\n\t}\n}")
        case "print", (target,):
            if target not in jobs:
                if target.rpartition("/")[0] in _without(folder):
                    return _fail(125, "Could not print service: 125: Domain does not support specified action")
                return _fail(113, "Bad request.", f'Could not find service "{target.rpartition("/")[2]}"')
            print(printed(target, jobs[target]), end="")
        case "bootstrap", (domain, plist):
            return _bootstrap(folder, domain, plist, jobs)
        case "bootout", (target,):
            if target not in jobs:
                return _fail(3, "Boot-out failed: 3: No such process")
            if target.startswith(SYSTEM):
                return _fail(1, "Boot-out failed: 1: Operation not permitted")
            os.kill(jobs[target]["watcher"], signal.SIGTERM)
            return _fail(36, "Boot-out failed: 36: Operation now in progress")
        case "kickstart", (target,):
            if target not in jobs:
                return _fail(113, f'Could not find service "{target.rpartition("/")[2]}"')
            if not jobs[target]["pid"]:
                (folder / f"{target.rpartition('/')[2]}.kick").touch()
        case (("enable" | "disable"), (target,)):
            kept = _disabled(folder) - {target} | ({target} if command == "disable" else set())
            (folder / DISABLED).write_text("\n".join(kept))
        case "print-disabled", (domain,):
            print("\tdisabled services = {")
            for target in _disabled(folder):
                if target.rpartition("/")[0] == domain:
                    print(f'\t\t"{target.rpartition("/")[2]}" => disabled')
            print("\t}")
        case "kill", (number, target):
            if target not in jobs or not jobs[target]["pid"]:
                return _fail(3, "Could not kill service: 3: No such process")
            os.kill(jobs[target]["pid"], int(number) if number.isdigit() else signal.Signals["SIG" + number])
        case "getenv", (name,):
            print(os.environ.get(f"FAKE_SESSION_{name}", ""))
        case _:
            return _fail(64, f"Unrecognized subcommand: {command}")
    return 0


def _bootstrap(folder: Path, domain: str, plist: str, jobs: dict[str, Any]) -> int:
    with contextlib.suppress(FileNotFoundError):
        left = int((folder / EIO).read_text())
        if left:
            (folder / EIO).write_text(str(left - 1))
            return _fail(5, "Bootstrap failed: 5: Input/output error")
    with contextlib.suppress(FileNotFoundError):
        (folder / HOLD).rename(folder / "held")
    while (folder / "held").exists():
        time.sleep(0.02)
    label = plistlib.loads(Path(plist).read_bytes())["Label"]
    target = f"{domain}/{label}"
    if domain in _without(folder):
        return _fail(125, "Bootstrap failed: 125: Domain does not support specified action")
    if target in _disabled(folder):
        return _fail(119, "Bootstrap failed: 119: Service is disabled")
    if target in jobs:
        return _fail(37, "Bootstrap failed: 37: Operation already in progress")
    quiet = subprocess.DEVNULL
    command = [*_SELF, str(folder), "watch", target, plist]
    watcher = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
    while not (folder / f"{label}.job").exists() and watcher.poll() is None:
        time.sleep(0.01)
    # It lives on.
    watcher.returncode = 0
    return 0


def _disabled(folder: Path) -> set[str]:
    """The targets that are disabled."""
    return _listed(folder / DISABLED)


def _without(folder: Path) -> set[str]:
    """The domains that are not there."""
    return _listed(folder / NO_DOMAINS)


def _listed(place: Path) -> set[str]:
    return set(place.read_text().split("\n")) - {""} if place.exists() else set()


def _fail(code: int, *lines: str) -> int:
    print(*lines, sep="\n", file=sys.stderr)
    return code


if __name__ == "__main__":
    if sys.argv[2] == "watch":
        _watch(Path(sys.argv[1]), *sys.argv[3:])
    else:
        sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
