"""On a terminal: colours, and lines that fit its width."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from tests.beds.sidecar import CHECKOUT, Sidecar
from tests.cli.terminal import DEADLINE, PROGRAM, environment

assert sys.platform != "win32"

pytestmark = pytest.mark.timeout(60)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def on_terminal(*arguments: str, columns: int, **env: str) -> str:
    """What a terminal of that width gets to show."""
    own, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=CHECKOUT,
        env=environment({"TERM": "xterm-256color"} | env),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(own, 65536):
                shown += part
        except OSError:
            # Linux says EIO once nobody has the other end open.
            pass
        finally:
            os.close(own)
        process.wait(DEADLINE)
    return shown.decode().replace("\r\n", "\n")


def test_the_state_is_coloured_and_no_color_turns_that_off(running: Sidecar) -> None:
    data = ("--data-dir", str(running.root))
    assert "\x1b[1;32m" in on_terminal("status", *data, columns=100)
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in on_terminal("status", *data, columns=100, **env)


@pytest.mark.parametrize("columns", [40, 60, 400])
def test_a_table_fits_the_terminal(running: Sidecar, columns: int) -> None:
    shown = on_terminal("settings", "--data-dir", str(running.root), columns=columns)
    lines = _COLOUR.sub("", shown).splitlines()
    assert max(map(len, lines)) <= columns
    assert any(line.startswith("stopTimeout") for line in lines)
    assert ("…" in shown) is (columns < 400)


def test_a_long_reason_is_wrapped_and_a_path_stays_in_one_piece(running: Sidecar) -> None:
    shown = _COLOUR.sub("", on_terminal("status", "--data-dir", str(running.root), columns=30))
    assert running.ollama_url in shown
