"""What commands show on a terminal: a real one of the kernel's, of a given width, with a person who types."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli import exits
from cli.output import columns
from core.logs.segments import stamp_line
from tests import tied
from tests.beds.sidecar import CHECKOUT, Sidecar
from tests.beds.wire import call
from tests.cli.shop import Shop, jobs_of
from tests.cli.terminal import PROGRAM, aura, environment

assert sys.platform == "linux"

pytestmark = pytest.mark.timeout(90)
DEADLINE = tied.seconds(30.0)
CTRL_C = b"\x03"
STEERING = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


class Terminal:
    """One end of it: what is shown, and what is typed."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self._master = master
        self.shown = ""

    @property
    def text(self) -> str:
        """All that was shown, without what moves the cursor or sets colours."""
        return STEERING.sub("", self.shown)

    def type(self, keys: bytes) -> None:
        """Press these keys."""
        os.write(self._master, keys)

    def until(self, holds: Callable[[], bool]) -> None:
        """Read on until it holds."""
        deadline = time.monotonic() + DEADLINE
        while not holds():
            assert time.monotonic() < deadline, self.shown
            assert self._read(0.2) or self.process.poll() is None or holds(), self.shown

    def until_end(self) -> int:
        """Read all there is; the exit code."""
        code: int | None = None
        deadline = time.monotonic() + DEADLINE
        while code is None or self._read(0.0):
            assert time.monotonic() < deadline, self.shown
            self._read(0.05)
            code = self.process.poll()
        return code

    def _read(self, wait: float) -> bool:
        if not select.select([self._master], [], [], wait)[0]:
            return False
        try:
            part = os.read(self._master, 1 << 16)
        except OSError:
            # EIO: the other end is closed.
            return False
        self.shown += part.decode("utf-8", "replace").replace("\r\n", "\n")
        return True


@contextmanager
def on_terminal(*arguments: str, data: Path, width: int = 80, **env: str) -> Iterator[Terminal]:
    """`aura-ollama` with these arguments as the foreground program of a terminal of that many columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))

    def own_it() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    with subprocess.Popen(
        [*PROGRAM, *arguments, "--data-dir", str(data)],
        cwd=CHECKOUT,
        env=environment({"TERM": "xterm-256color"} | env),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        preexec_fn=own_it,
    ) as process:
        os.close(slave)
        try:
            yield Terminal(process, master)
        finally:
            process.kill()
            process.wait()
            os.close(master)


@pytest.mark.parametrize("width", [40, 100])
def test_a_pull_shows_a_bar_that_grows_with_rate_and_time_left(
    puller: Sidecar, registry_shop: Shop, width: int
) -> None:
    name = registry_shop.add(f"bar{width}", hold_at=1_000_000)
    with on_terminal("pull", name, data=puller.root, width=width) as terminal:
        terminal.until(lambda: "━" in terminal.shown and re.search(r"(4|5)\d %", terminal.text) is not None)
        registry_shop.release()
        assert terminal.until_end() == exits.DONE
    assert f"Pulling {name}\n" in terminal.text
    assert terminal.text.endswith(f"{name} is installed.\n")
    bars = [line for line in re.split(r"[\r\n]", terminal.text) if "━" in line]
    assert all(columns(line) <= width for line in bars), bars
    assert (" of 1.91 MB" in terminal.text) is (width == 100)


def test_without_colours_the_bar_has_none(puller: Sidecar, registry_shop: Shop) -> None:
    name = registry_shop.add("plain", hold_at=1_000_000)
    with on_terminal("pull", name, data=puller.root, NO_COLOR="1") as terminal:
        terminal.until(lambda: re.search(r"(4|5)\d %", terminal.text) is not None)
        registry_shop.release()
        assert terminal.until_end() == exits.DONE
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", terminal.shown)


def test_a_dumb_terminal_gets_plain_lines(puller: Sidecar, registry_shop: Shop) -> None:
    name = registry_shop.add("dumb")
    with on_terminal("pull", name, data=puller.root, TERM="dumb") as terminal:
        assert terminal.until_end() == exits.DONE
    assert "\x1b" not in terminal.shown
    assert terminal.shown.endswith(f"{name} is installed.\n")


@pytest.mark.parametrize(("keys", "state"), [(b"n\n", "cancelled"), (b"\n", "running"), (CTRL_C, "running")])
def test_ctrl_c_asks_whether_to_leave_it_going(puller: Sidecar, registry_shop: Shop, keys: bytes, state: str) -> None:
    name = registry_shop.add(f"asked{len(keys)}{keys[0]}", hold_at=1_000_000)
    with on_terminal("pull", name, data=puller.root) as terminal:
        terminal.until(lambda: re.search(r"(4|5)\d %", terminal.text) is not None)
        terminal.type(CTRL_C)
        terminal.until(lambda: "Leave the download going? [Y/n] " in terminal.text)
        terminal.type(keys)
        assert terminal.until_end() == exits.INTERRUPTED
        assert "Traceback" not in terminal.text
        assert ("The download is cancelled." if state == "cancelled" else "The download goes on.") in terminal.text
    (job,) = [job for job in jobs_of(puller) if name.rpartition("/")[2] in job["model"]]
    assert job["state"] == state
    call("DELETE", f"{puller.url}/api/ollama/jobs/{job['id']}")


@pytest.mark.parametrize(("answer", "is_deleted"), [(b"y\n", True), (b"\n", False), (b"\x04", False)])
def test_rm_asks_before_it_deletes(running: Sidecar, answer: bytes, is_deleted: bool) -> None:
    copied = call("POST", f"{running.ollama_url}/api/copy", {"source": "tiny", "destination": "copy"})
    assert copied.status == 200
    with on_terminal("rm", "copy", data=running.root) as terminal:
        terminal.until(lambda: "Delete copy? [y/N] " in terminal.text)
        terminal.type(answer)
        assert terminal.until_end() == (exits.DONE if is_deleted else exits.FAILED)
    assert ("Nothing was deleted." in terminal.text) is not is_deleted
    assert ("copy:latest" in aura("models", data=running.root).out) is not is_deleted


@pytest.mark.parametrize("command", ["models", "ps"])
@pytest.mark.parametrize("width", [40, 80])
def test_a_list_fits_the_terminal(running: Sidecar, command: str, width: int) -> None:
    assert aura("load", "tiny", data=running.root).code == exits.DONE
    long = "a-model-with-a-name-that-is-longer-than-a-narrow-terminal:latest"
    call("POST", f"{running.ollama_url}/api/copy", {"source": "tiny", "destination": long})
    with on_terminal(command, data=running.root, width=width, NO_COLOR="1") as terminal:
        assert terminal.until_end() == exits.DONE
    # A runner is no test's to leave behind.
    assert aura("unload", "tiny", data=running.root).code == exits.DONE
    lines = terminal.text.splitlines()
    assert "tiny" in terminal.text
    assert "NAME" in lines[0]
    assert all(columns(line) <= width for line in lines), lines
    assert "\x1b" not in terminal.shown


def test_a_line_of_the_log_cannot_steer_the_terminal(tmp_path: Path) -> None:
    folder = tmp_path / "AuraData/logs/ollama"
    folder.mkdir(parents=True)
    evil = "\x1b]0;title\x07\x1b[2J\x1b[31m\x9b31m"
    (folder / "ollama-20260101-000000.log").write_bytes(stamp_line("OUT", evil))
    for arguments in (["logs"], ["logs", "--json"]):
        with on_terminal(*arguments, data=tmp_path) as terminal:
            assert terminal.until_end() == exits.NO_SIDECAR
        assert "title" in terminal.shown
        assert not set(terminal.shown) & set("\x1b\x07\x9b")


def test_following_ends_with_its_terminal(tmp_path: Path) -> None:
    folder = tmp_path / "AuraData/logs/ollama"
    folder.mkdir(parents=True)
    (folder / "ollama-20260101-000000.log").write_bytes(stamp_line("OUT", "a line"))
    with on_terminal("logs", "-f", data=tmp_path) as terminal:
        terminal.until(lambda: "a line" in terminal.text)
        terminal.type(CTRL_C)
        assert terminal.until_end() == exits.INTERRUPTED
    assert "Traceback" not in terminal.text
