"""What a command prints, and where: closed pipes, full disks, other encodings, interruption."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from cli import exits, output
from core import files
from core.platform import birth, make_private_dir
from tests import tied
from tests.beds.ending import NO_WINDOW, end
from tests.beds.sidecar import CHECKOUT, Sidecar
from tests.cli.terminal import DEADLINE, PROGRAM, aura, environment

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("arguments", [["settings"], ["settings", "--json"], ["--help"], ["completion", "bash"]])
def test_a_reader_that_has_gone_is_no_error(shared: Sidecar, arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [*PROGRAM, *arguments, *(["--data-dir", str(shared.root)] if arguments != ["--help"] else [])],
            cwd=CHECKOUT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=subprocess.PIPE,
            timeout=DEADLINE,
            check=False,
            creationflags=NO_WINDOW,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (exits.DONE, b"")


def test_a_help_text_that_nobody_reads_is_no_error() -> None:
    """argparse prints it, and unbuffered that fails at once."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [*PROGRAM, "logs", "--help"],
            cwd=CHECKOUT,
            env=environment({"PYTHONUNBUFFERED": "1"}),
            stdout=write,
            stderr=subprocess.PIPE,
            timeout=DEADLINE,
            check=False,
            creationflags=NO_WINDOW,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (exits.DONE, b"")


@tied.posix("arguments in the C locale")
def test_an_argument_that_the_locale_lacks_is_told_in_words(shared: Sidecar) -> None:
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for arguments in (["pull", "ü"], ["status", "--instance", "ü"], ["unload", "ü"]):
        said = aura(*arguments, data=shared.root, env=env)
        assert (said.code, said.out) == (exits.FAILED, "")
        assert "Traceback" not in said.err


def test_signs_that_the_encoding_lacks_are_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "Müller – 数据"
    folder.mkdir()
    said = aura("token", "--path", data=folder, env={"PYTHONIOENCODING": "ascii"})
    assert (said.code, said.err) == (exits.DONE, "")
    assert "M?ller ? ??" in said.out


def test_json_is_utf_8_whatever_the_encoding_is(tmp_path: Path) -> None:
    folder = tmp_path / "Müller"
    folder.mkdir()
    said = aura("token", "--path", "--json", data=folder, env={"PYTHONIOENCODING": "ascii"})
    assert said.json == {"path": str(folder / "AuraData" / "run" / "token")}


def test_a_pipe_gets_no_colours_and_no_line_is_cut(shared: Sidecar) -> None:
    said = aura("settings", data=shared.root, env={"COLUMNS": "20", "TERM": "xterm-256color", "FORCE_COLOR": "1"})
    assert "\x1b" not in said.out
    assert "…" not in said.out


def test_ctrl_c_while_a_sidecar_keeps_silent_ends_it_quietly(tmp_path: Path) -> None:
    run = tmp_path / "AuraData" / "run"
    make_private_dir(str(run))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        note = {"url": url, "pid": os.getpid(), "birth": birth(os.getpid())}
        files.write(str(run / "sidecar.json"), json.dumps(note))
        with subprocess.Popen(
            [*PROGRAM, "start", "--data-dir", str(tmp_path)],
            cwd=CHECKOUT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            creationflags=NO_WINDOW,
        ) as process:
            connection, _ = server.accept()
            with connection:
                assert connection.recv(4096).startswith(b"POST /api/ollama/start ")
                assert end(process, DEADLINE, signal.SIGINT) == exits.INTERRUPTED
            assert process.stdout is not None
            assert process.stderr is not None
            assert (process.stdout.read(), process.stderr.read()) == (b"", b"")


@tied.posix("/dev/full")
def test_a_full_disk_is_told() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*PROGRAM, "completion", "bash"],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=DEADLINE,
            check=False,
        )
    assert done.returncode == exits.FAILED
    assert done.stderr == b"aura-ollama: the output cannot be written: No space left on device.\n"


@pytest.mark.parametrize(("text", "wide"), [("", 0), ("tiny", 4), ("模型", 4), ("e\u0301", 1), ("tiny–模", 7)])
def test_columns_are_counted_as_a_terminal_does(text: str, wide: int) -> None:
    assert output.columns(text) == wide
