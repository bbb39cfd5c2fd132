"""Real container engines, Docker and Podman, each started by a test, with all its data in a folder of its own.

Both need root. Nothing of them is on a network: containers use the host's, and ports of Ollama are on loopback. Leaving
the context ends the engine and every container of it, unmounts what is left, and removes its empty cgroups.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psutil

from tests.beds import BedMissing, shared
from tests.beds.container_image import COMMAND, ENTRYPOINT, NAME, image_tar

READY_SECONDS = 30.0
CALL_SECONDS = 30.0
_LOOK_AGAIN = 0.05
_CGROUPS = Path("/sys/fs/cgroup")
# A process in a container may have no more than the machine's own limits, whatever the engine's defaults are.
_LIMITS = {"nofile": (1024, 4096), "nproc": (4096, 4096)}


class Engine:
    """A running engine. `docker` and `podman` below make one; a context manager."""

    name = ""
    cgroup = ""

    def __init__(self, folder: Path) -> None:
        """`folder` is made. Keep its path short: the path of a Unix socket has 107 characters at most."""
        self.folder = folder
        self.socket = folder / "s"
        self.url = f"unix://{self.socket}"
        self.log = folder / "engine.log"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        if sys.platform != "linux" or os.geteuid() != 0:
            raise BedMissing(f"a real {self.name} of the tests needs Linux, and root")

    def command(self) -> list[str]:
        """The command line that serves the API at `socket`."""
        raise NotImplementedError

    def load_image(self) -> None:
        """Have the image of `container_image` in it."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The process that serves the API."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, or start it again, and wait until it answers."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        shared.roots.add(self._process.pid)
        deadline = time.monotonic() + READY_SECONDS
        while True:
            with suppress(OSError, http.client.HTTPException):
                self.call("GET", "/version")
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BedMissing(f"{self.name} does not run here: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(_LOOK_AGAIN)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the program that serves the API. Podman's containers live on; Docker ends its own."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(READY_SECONDS)
        shared.roots.discard(self._process.pid)
        self.socket.unlink(missing_ok=True)

    def call(self, method: str, path: str, body: object = None, *, raw: bytes | None = None) -> Any:
        """Ask its API; the answer, parsed. Raises AssertionError for a refusal, OSError if it cannot be asked."""
        connection = http.client.HTTPConnection("localhost", timeout=CALL_SECONDS)
        connection.sock = socket.socket(getattr(socket, "AF_UNIX", socket.AF_INET))
        try:
            connection.sock.settimeout(CALL_SECONDS)
            connection.sock.connect(str(self.socket))
            data = raw if raw is not None else None if body is None else json.dumps(body).encode()
            kind = "application/x-tar" if raw is not None else "application/json"
            connection.request(method, f"/v1.41{path}", data, {"Content-Type": kind})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        assert answer.status < 400, f"{method} {path}: {answer.status} {text[:500]!r}"
        with suppress(ValueError):
            return json.loads(text)
        return text

    def create(
        self,
        name: str,
        port: int,
        *,
        command: Sequence[str] | None = None,
        policy: str = "no",
        retries: int = 0,
        env: Mapping[str, str] | None = None,
        host: Mapping[str, object] | None = None,
        config: Mapping[str, object] | None = None,
    ) -> str:
        """A container whose Ollama listens on loopback's `port`, or that runs `command` by a shell; its id."""
        variables = {"OLLAMA_HOST": f"127.0.0.1:{port}", "HOME": "/root"} | dict(env or {})
        entry = {"Entrypoint": ["/bin/sh", "-c"], "Cmd": list(command)} if command else {}
        limits = [{"Name": name, "Soft": soft, "Hard": hard} for name, (soft, hard) in _LIMITS.items()]
        body = {
            "Image": NAME,
            "Env": [f"{key}={value}" for key, value in variables.items()],
            **entry,
            "HostConfig": {
                "NetworkMode": "host",
                "RestartPolicy": {"Name": policy, "MaximumRetryCount": retries},
                "Ulimits": limits,
            }
            | dict(host or {}),
        } | dict(config or {})
        return str(self.call("POST", f"/containers/create?name={quote(name)}", body)["Id"])

    def inspect(self, name: str) -> Any:
        """What the engine knows of that container."""
        return self.call("GET", f"/containers/{quote(name)}/json")

    def run(self, name: str, port: int, **kinds: Any) -> int:
        """Create and start; the pid of its first process."""
        self.create(name, port, **kinds)
        self.call("POST", f"/containers/{quote(name)}/start")
        return int(self.inspect(name)["State"]["Pid"])

    def remove(self, name: str) -> None:
        """End and delete that container."""
        self.call("DELETE", f"/containers/{quote(name)}?force=true")

    def look_at_health(self, name: str) -> None:
        """Have that container's health check made now, where the engine does not do so by itself."""

    def clear(self) -> None:
        """End and delete all of its containers."""
        for container in self.call("GET", "/containers/json?all=true"):
            with suppress(AssertionError):
                self.remove(container["Id"])

    def __enter__(self) -> Self:
        try:
            self.start()
            self.load_image()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            if self._process.poll() is not None:
                with suppress(BedMissing):
                    self.start()
            with suppress(OSError, AssertionError, http.client.HTTPException):
                self.clear()
            with suppress(subprocess.TimeoutExpired):
                self._process.terminate()
                self._process.wait(READY_SECONDS)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            shared.roots.discard(self._process.pid)
        self._end_left()
        for mount in sorted((line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()), reverse=True):
            if Path(mount).is_relative_to(self.folder):
                subprocess.run(["umount", "--lazy", mount], check=False)
        for cgroup in sorted(_CGROUPS.glob(f"*/{self.cgroup}/**/"), reverse=True):
            # Of another engine on this machine those that are in use stay: the kernel does not remove these.
            with suppress(OSError):
                cgroup.rmdir()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end_left(self) -> None:
        """Kill what it started and what outlived it: monitors and shims that name its folder."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if any(str(self.folder) in word for word in process.cmdline()) and process.pid != os.getpid():
                    process.kill()


class Docker(Engine):
    """Debian's dockerd, which starts a containerd of its own."""

    name = "Docker"
    cgroup = "docker"

    def command(self) -> list[str]:
        """Contract: `Engine.command`."""
        program = Path("/usr/sbin/dockerd")
        if not program.exists():
            raise BedMissing("there is no dockerd: install Debian's package docker.io")
        limits = [f"--default-ulimit={name}={soft}:{hard}" for name, (soft, hard) in _LIMITS.items()]
        return [
            str(program),
            f"--data-root={self.folder / 'data'}",
            f"--exec-root={self.folder / 'x'}",
            f"--host={self.url}",
            f"--pidfile={self.folder / 'pid'}",
            "--storage-driver=overlay2",
            "--exec-opt=native.cgroupdriver=cgroupfs",
            "--bridge=none",
            "--iptables=false",
            *limits,
        ]

    def load_image(self) -> None:
        """Contract: `Engine.load_image`."""
        changes = "&".join(
            f"changes={quote(f'{word} {json.dumps(words)}')}"
            for word, words in (("ENTRYPOINT", ENTRYPOINT), ("CMD", COMMAND))
        )
        repository, tag = NAME.split(":")
        self.call(
            "POST", f"/images/create?fromSrc=-&repo={repository}&tag={tag}&{changes}", raw=image_tar().read_bytes()
        )


class BridgedDocker(Docker):
    """One whose containers have a network of their own, so that `docker-proxy` holds what they publish."""

    def command(self) -> list[str]:
        """Contract: `Engine.command`."""
        words = super().command()
        words[words.index("--bridge=none")] = f"--bridge={self._bridge}"
        return words

    @property
    def _bridge(self) -> str:
        # The name of an interface has 15 characters at most.
        return f"aura{os.getpid() % 100_000}"

    def start(self) -> None:
        """Contract: `Engine.start`."""
        if not Path("/sys/class/net", self._bridge).exists():
            for words in (
                ["link", "add", self._bridge, "type", "bridge"],
                ["address", "add", f"10.{os.getpid() % 200 + 20}.77.1/24", "dev", self._bridge],
                ["link", "set", self._bridge, "up"],
            ):
                done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=CALL_SECONDS, check=False)
                if done.returncode:
                    raise BedMissing(f"this machine grants no bridge: {done.stderr.strip()}")
        super().start()

    def _end(self) -> None:
        super()._end()
        subprocess.run(["ip", "link", "delete", self._bridge], capture_output=True, timeout=CALL_SECONDS, check=False)


class Podman(Engine):
    """Debian's Podman, whose service holds nothing itself: its containers live on without it."""

    name = "Podman"
    cgroup = "libpod_parent"

    def _podman(self) -> list[str]:
        program = shutil.which("podman")
        if program is None:
            raise BedMissing("there is no podman: install Debian's packages podman and runc")
        return [
            program,
            "--runtime=runc",
            "--storage-driver=vfs",
            "--cgroup-manager=cgroupfs",
            "--events-backend=file",
            f"--root={self.folder / 'st'}",
            f"--runroot={self.folder / 'rr'}",
            f"--tmpdir={self.folder / 'tmp'}",
        ]

    def command(self) -> list[str]:
        """Contract: `Engine.command`."""
        return [*self._podman(), "system", "service", "--time=0", self.url]

    def look_at_health(self, name: str) -> None:
        """Contract: `Engine.look_at_health`."""
        words = [*self._podman(), "healthcheck", "run", name]
        subprocess.run(words, check=False, capture_output=True, timeout=CALL_SECONDS)

    def load_image(self) -> None:
        """Contract: `Engine.load_image`."""
        changes = [
            f"--change={word} {json.dumps(words)}" for word, words in (("ENTRYPOINT", ENTRYPOINT), ("CMD", COMMAND))
        ]
        command = [*self._podman(), "import", *changes, str(image_tar()), f"localhost/{NAME}"]
        subprocess.run(command, check=True, capture_output=True, timeout=CALL_SECONDS)


ENGINES: tuple[type[Engine], ...] = (Podman, Docker)
