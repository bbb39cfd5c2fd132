"""A real systemd of its own: a system that boots over a view of this machine's root, and is thrown away.

What is written inside lies in memory; the machine itself is not touched. Needs root, systemd-nspawn and dbus-daemon
(Debian: systemd-container, dbus-user-session). `with Booted(...) as booted:` boots in 1 to 15 s.

Its /tmp is empty and its pids are its own, so what talks to its bus runs inside. Its network is this machine's, so that
a test outside reaches what listens inside.
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

BOOT_DEADLINE = 60.0
OFF_DEADLINE = 20.0
NEEDED = ("systemd-nspawn", "nsenter", "dbus-daemon", "journalctl")
USER = "nobody"


_inits: set[int] = set()


def is_inside(process: psutil.Process) -> bool:
    """Whether that process belongs to a booted system, whose processes come and go by themselves."""
    try:
        return bool(_inits) and not _inits.isdisjoint({process.pid, *(parent.pid for parent in process.parents())})
    except psutil.Error:
        return False


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
        self._init = 0

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
                    "systemd-nspawn",
                    "--quiet",
                    f"--directory={self._root}",
                    "--volatile=overlay",
                    "--boot",
                    # There is no machined that could register it.
                    "--register=no",
                    "--keep-unit",
                    "--link-journal=no",
                    f"--machine=bed{os.getpid()}",
                    "--console=pipe",
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
        _inits.add(self._nspawn.pid)
        deadline = time.monotonic() + BOOT_DEADLINE
        while time.monotonic() < deadline and self._nspawn.poll() is None:
            children = psutil.Process(self._nspawn.pid).children()
            self._init = children[0].pid if children else 0
            if self._init and self.call("busctl", "status", "org.freedesktop.systemd1").returncode == 0:
                return
            time.sleep(0.1)
        said = (self._folder / "boot.log").read_text(errors="replace")[-2000:]
        raise BedMissing(f"no system booted within {BOOT_DEADLINE:g} s: {said}")

    def command(self, *arguments: str | Path, user: str | None = None) -> list[str]:
        """The command line that runs these arguments inside, as root or as that user."""
        enter = ["nsenter", "-t", str(self._init), "-m", "-p", "-n", "-i", "-u", "-C", "--wdns=/"]
        as_user = ["setpriv", f"--reuid={user}", "--init-groups", "--regid=nogroup"] if user else []
        return [*enter, *as_user, *map(str, arguments)]

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
            if self._init:
                self.call("systemctl", "poweroff", "--force", "--no-wall")
            try:
                self._nspawn.wait(OFF_DEADLINE)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait(OFF_DEADLINE)
        subprocess.run(["umount", "--lazy", self._root], check=False, timeout=10)
        if self._nspawn is not None:
            _inits.discard(self._nspawn.pid)
        # By rmdir, which fails on what is still mounted there: that is the whole of this machine's root.
        with suppress(OSError):
            self._root.rmdir()
            (self._folder / "boot.log").unlink()
            self._folder.rmdir()
