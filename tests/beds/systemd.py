"""A real systemd of its own: a system that boots over a view of this machine's root, and is thrown away.

What is written inside lies in memory; the machine itself is not touched. Needs root, systemd-nspawn, dbus-daemon and
polkitd (Debian: systemd-container, dbus-user-session, polkitd). `with Booted(...) as booted:` boots in 1 to 2 s.

Its /tmp is empty and its pids are its own, so what talks to its bus runs inside. Its network is this machine's, so that
a test outside reaches what listens inside. Its control groups lie below one of its own: two systems that shared them
would wait for, and kill, each other's services of the same name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.beds import BedMissing
from tests.beds.shared import descends

BOOT_DEADLINE = 60.0
OFF_DEADLINE = 20.0
NEEDED = ("systemd-nspawn", "nsenter", "dbus-daemon", "journalctl", "pkttyagent")
SYSTEMD = "org.freedesktop.systemd1"


# Has the shell join the control groups $0 names, one a line, and become the rest of its arguments.
_JOIN = 'for group in $0; do mkdir -p "$group" && echo $$ >"$group/cgroup.procs" || exit 1; done; exec "$@"'
_nspawns: set[int] = set()
_namespaces: set[str] = set()


def is_inside(process: psutil.Process) -> bool:
    """Whether that process belongs to a booted system, whose processes come and go by themselves."""
    if not _nspawns:
        return False
    try:
        # Also of one whose parent ends at this moment, and of one that `command` has brought inside.
        if _namespace(process.pid) in _namespaces:
            return True
    except OSError:
        return False
    return descends(process, _nspawns)


def _namespace(pid: int) -> str:
    """The namespace of pids that a process lives in. Raises OSError."""
    return str(Path(f"/proc/{pid}/ns/pid").readlink())


def _enter(pid: int) -> list[str]:
    """The words before a command that runs in the namespaces of that process."""
    return ["nsenter", "-t", str(pid), "-m", "-p", "-n", "-i", "-u", "-C", "--wdns=/"]


def _groups(name: str) -> list[Path]:
    """A group of that name below ours, in each hierarchy that a systemd uses; cgroups(7) has the format."""
    found: list[Path] = []
    for row in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = row.split(":", 2)
        roots = {"0": ("unified", "."), "name=systemd": ("systemd",)}.get(number if number == "0" else controllers, ())
        folders = [Path("/sys/fs/cgroup", root, path.lstrip("/")) for root in roots]
        found += [folder / name for folder in folders if (folder / "cgroup.procs").exists()][:1]
    return found


class Booted:
    """A booted system. `binds` are folders of this machine that it shares, writable, at the same place."""

    def __init__(self, *binds: Path) -> None:
        # Windows has no such function.
        if getattr(os, "geteuid", lambda: -1)() != 0:
            raise BedMissing("a real systemd needs root on Linux")
        if missing := [program for program in NEEDED if not shutil.which(program)]:
            raise BedMissing(f"a real systemd needs {', '.join(missing)}")
        self._folder = Path(tempfile.mkdtemp(prefix="booted-"))
        self._root = self._folder / "root"
        self._binds = [f"--bind={bind}" for bind in binds]
        self._nspawn: subprocess.Popen[bytes] | None = None
        self.init = 0
        """The pid of its first process, as seen from here."""
        self._groups = _groups(self._folder.name)

    def __enter__(self) -> Self:
        self._root.mkdir()
        subprocess.run(["mount", "--bind", "/", self._root], check=True, timeout=10)
        try:
            self._boot()
        except BaseException:
            self._off()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._off()

    def _boot(self) -> None:
        with (self._folder / "boot.log").open("wb") as output:
            self._nspawn = subprocess.Popen(
                [
                    *("sh", "-c", _JOIN, "\n".join(map(str, self._groups))),
                    "systemd-nspawn",
                    f"--directory={self._root}",
                    "--volatile=overlay",
                    "--boot",
                    # There is no machined that could register it.
                    "--register=no",
                    "--keep-unit",
                    "--link-journal=no",
                    f"--machine=bed{os.getpid()}",
                    "--console=pipe",
                    # Before what is shared below it. Each boot empties /tmp, and a view of this machine's takes long.
                    "--tmpfs=/tmp:mode=1777",
                    *self._binds,
                    "systemd.log_target=journal",
                    # What this machine would start at its own boot is none of the tests' business.
                    "systemd.unit=basic.target",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A view of version 2 of the control groups, which the services' own slices need.
                env=os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_TMPFS_TMP": "0"},
                start_new_session=True,
            )
        _nspawns.add(self._nspawn.pid)
        deadline = time.monotonic() + BOOT_DEADLINE
        while time.monotonic() < deadline and self._nspawn.poll() is None:
            # One that only prepares the system comes before its first process.
            for child in psutil.Process(self._nspawn.pid).children():
                asking = [*_enter(child.pid), "busctl", "status", SYSTEMD]
                if subprocess.run(asking, check=False, capture_output=True, timeout=30).returncode == 0:
                    self.init = child.pid
                    _namespaces.add(_namespace(self.init))
                    return
            time.sleep(0.1)
        raise BedMissing(f"no system booted within {BOOT_DEADLINE:g} s: {self._last_words()}")

    def _has_ended(self) -> bool:
        try:
            is_dead = psutil.Process(self.init).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            is_dead = True
        if is_dead and self._nspawn is not None:
            # Then it will tell how.
            with suppress(subprocess.TimeoutExpired):
                self._nspawn.wait(OFF_DEADLINE)
        return is_dead

    def _last_words(self) -> str:
        """What nspawn has said, and how it ended if it has."""
        code = self._nspawn.poll() if self._nspawn else None
        said = (self._folder / "boot.log").read_text(errors="replace")[-2000:].strip() or "(it said nothing)"
        return said if code is None else f"nspawn ended with {code}: {said}"

    def command(self, *arguments: str | Path, user: str | None = None) -> list[str]:
        """The command line that runs these arguments inside, as root or as that user.

        Raises AssertionError, with the reason, if the system has ended: no test that needs it can go on.
        """
        if self._has_ended():
            raise AssertionError(f"the booted system has ended, which no test asks it to: {self._last_words()}")
        as_user = ["setpriv", f"--reuid={user}", "--init-groups", "--regid=nogroup"] if user else []
        return [*_enter(self.init), *as_user, *map(str, arguments)]

    def call(
        self, *arguments: str | Path, user: str | None = None, timeout: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, and return how it went, with what it printed."""
        return subprocess.run(
            self.command(*arguments, user=user),
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def run(self, *arguments: str | Path, user: str | None = None, timeout: float = 30.0) -> str:
        """What a command inside prints. Raises AssertionError with its error if it fails."""
        done = self.call(*arguments, user=user, timeout=timeout)
        if done.returncode != 0:
            raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Write a file inside."""
        command = self.command("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat >"$1"', "sh", path)
        subprocess.run(command, check=True, input=text.encode(), timeout=10)

    def property(self, unit: str, name: str, *scope: str) -> str:
        """A property of a unit, as `systemctl show` tells it. `scope` are options such as --user."""
        return self.run("systemctl", *scope, "show", "--value", "--property", name, unit).strip()

    def user_manager(self, name: str, uid: int) -> None:
        """Have a user of that name with a systemd of his own, which lingers."""
        self.run("useradd", "--create-home", "--uid", str(uid), name)
        self.run("systemctl", "start", "systemd-logind.service")
        self.run("loginctl", "enable-linger", name)
        deadline = time.monotonic() + BOOT_DEADLINE
        while self.call("test", "-S", f"/run/user/{uid}/bus").returncode != 0:
            if time.monotonic() > deadline:
                raise AssertionError(self.run("systemctl", "status", f"user@{uid}.service"))
            time.sleep(0.1)

    def _off(self) -> None:
        if self._nspawn is not None and self._nspawn.poll() is None:
            if self.init:
                with suppress(AssertionError):
                    self.call("systemctl", "poweroff", "--force", "--no-wall")
            try:
                self._nspawn.wait(OFF_DEADLINE)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait(OFF_DEADLINE)
        subprocess.run(["umount", "--lazy", self._root], check=False, timeout=10)
        if self._nspawn is not None:
            _nspawns.discard(self._nspawn.pid)
        for group in self._groups:
            for folder in [*sorted(group.rglob("*/"), reverse=True), group]:
                with suppress(OSError):
                    folder.rmdir()
        # By rmdir, which fails on what is still mounted there: that is the whole of this machine's root.
        with suppress(OSError):
            self._root.rmdir()
            (self._folder / "boot.log").unlink()
            self._folder.rmdir()
