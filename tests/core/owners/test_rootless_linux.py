"""A container of a rootless Podman, which a user's own systemd starts by its socket, and our sidecar as that user."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.beds.container_image import COMMAND, ENTRYPOINT, NAME, image_tar
from tests.beds.require import require
from tests.beds.systemd import Booted
from tests.beds.wire import call, free_port, listens
from tests.core.owners.test_systemd_linux import UID, USER, ada, adas

pytestmark = pytest.mark.timeout(120)  # a system boots, and an image is unpacked twice
HOME = f"/home/{USER}"


class Account:
    """A user inside with a Podman that needs no root."""

    def __init__(self, booted: Booted) -> None:
        self._booted = booted
        ada(booted)
        # A system in a container of systemd's grants no key ring.
        booted.write(f"{HOME}/.config/containers/containers.conf", "[containers]\nkeyring = false\n")
        booted.run("chown", "-R", USER, f"{HOME}/.config")
        tar = require(image_tar)
        booted.run("install", "--owner", USER, tar, f"{HOME}/image.tar")
        changes = [f"--change=ENTRYPOINT {_words(ENTRYPOINT)}", f"--change=CMD {_words(COMMAND)}"]
        self.podman("import", *changes, f"{HOME}/image.tar", f"localhost/{NAME}")

    def run(self, *arguments: str) -> str:
        """What a command prints that she runs."""
        env = ["env", "-C", HOME, f"HOME={HOME}", f"XDG_RUNTIME_DIR=/run/user/{UID}"]
        return self._booted.run("runuser", "-u", USER, "--", *env, *arguments, timeout=60)

    def podman(self, *arguments: str) -> str:
        """What her Podman prints."""
        return self.run("podman", "--cgroup-manager=cgroupfs", *arguments).strip()


def _words(words: list[str]) -> str:
    return "[" + ",".join(f'"{word}"' for word in words) + "]"


def logged(answer: dict[str, list[str]], mark: str) -> bool:
    """Whether a call with that mark in its path is among the lines."""
    return any(f'"/{mark}"' in line for line in answer["logs"])


def test_a_container_without_root_is_started_followed_mended_and_stopped(booted: Booted, tmp_path: Path) -> None:
    account, port = Account(booted), free_port()
    url = f"http://127.0.0.1:{port}"
    variables = [f"--env=OLLAMA_HOST=127.0.0.1:{port}", "--env=HOME=/root"]
    account.podman("create", "--name=ollama", "--network=host", "--restart=always", *variables, f"localhost/{NAME}")
    account.run("systemctl", "--user", "start", "podman.socket")
    with adas(booted, tmp_path, url, "container:ollama") as sidecar:
        sidecar.until_state("stopped")
        started = sidecar.ask("POST", "/api/ollama/start")
        assert started["success"], started
        status = sidecar.status()
        assert (status["state"], status["managedByApp"], status["controlledBy"]) == (
            "running",
            True,
            "container:ollama",
        )
        assert call("GET", f"{url}/first").status == 404
        sidecar.until("/api/ollama/logs?maxLines=5000", lambda now: logged(now, "first"))
        booted.run("kill", "-KILL", str(status["pid"]))
        sidecar.until("/api/ollama/status", lambda now: now["running"] and now["pid"] != status["pid"])
        assert call("GET", f"{url}/again").status == 404
        sidecar.until("/api/ollama/logs?maxLines=5000", lambda now: logged(now, "first") and logged(now, "again"))
        assert sidecar.ask("POST", "/api/ollama/stop")["success"]
        assert account.podman("inspect", "--format={{.State.Status}}", "ollama") == "exited"
        assert not listens(port)
