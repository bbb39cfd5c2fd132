"""What the sidecar prints and logs holds it up nowhere, and says what must be known."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from core.output.outlet import MOST_QUEUED
from tests.api.alone import DEADLINE, END_SECONDS, is_refusal, refuse, running
from tests.beds.ending import ask_to_end, end
from tests.beds.sidecar import CHECKOUT
from tests.beds.wire import call


@pytest.mark.timeout(60)  # hundreds of calls, also in Wine
def test_pipes_that_nobody_reads_hold_neither_serving_nor_ending(tmp_path: Path) -> None:
    with running(tmp_path) as program:
        url = program.url()
        refuse(url, 800)
        assert call("GET", f"{url}/healthz").status == 200
        assert end(program.process, END_SECONDS) == 0
        assert sum(map(is_refusal, program.log.read_text().splitlines())) == 800


@pytest.mark.timeout(60)  # thousands of calls
def test_lines_that_found_no_room_are_counted_once_somebody_reads(tmp_path: Path) -> None:
    with running(tmp_path) as program:
        url = program.url()
        # The shortest line that tells of one is longer.
        total = 2 * (MOST_QUEUED + 65536) // 80
        refuse(url, total)
        assert program.process.stderr is not None
        said: list[str] = []
        # From here on somebody reads; what is missing is told before the next line.
        with program.process.stderr as stderr:
            while not said or "missing here" not in said[-1]:
                said.append(stderr.readline().decode())
            ask_to_end(program.process)
            said += stderr.read().decode().splitlines()
        assert program.process.wait(END_SECONDS) == 0
        missing = sum(int(found[1]) for found in map(re.compile(r".* (\d+) lines are missing").match, said) if found)
        assert missing > 0
        assert sum(map(is_refusal, said)) + missing == total


def test_streams_that_were_closed_on_their_other_side_end_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as program:
        for stream in (program.process.stdout, program.process.stderr):
            assert stream is not None
            stream.close()
        url = program.url()
        refuse(url, 3)
        assert call("GET", f"{url}/healthz").status == 200
        assert end(program.process, END_SECONDS) == 0


@pytest.mark.parametrize(
    ("folder", "encoding", "greets"),
    [
        ("Müller", "ascii", rb"M\xfcller"),
        ("Пользователь", "cp1252", rb"\u041f\u043e\u043b"),
        ("Müller", "cp1252", "Müller".encode("cp1252")),
    ],
)
def test_a_greeting_that_cannot_be_printed_is_shown_as_far_as_it_can(
    tmp_path: Path, folder: str, encoding: str, greets: bytes
) -> None:
    with running(tmp_path / folder, stderr=subprocess.DEVNULL, env={"PYTHONIOENCODING": encoding}) as program:
        assert program.process.stdout is not None
        greeting = program.process.stdout.readline()
        assert b"listening on http://127.0.0.1:" in greeting
        assert greets in greeting
        assert call("GET", f"{program.url()}/healthz").status == 200
        assert end(program.process, END_SECONDS) == 0


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_new_token_in_a_folder_that_cannot_be_printed_is_told(tmp_path: Path, encoding: str) -> None:
    root = tmp_path / "Пользователь"
    command = [sys.executable, "-m", "api", "--rotate-token", "--data-dir", str(root)]
    done = subprocess.run(
        command, cwd=CHECKOUT, env=os.environ | {"PYTHONIOENCODING": encoding}, capture_output=True, timeout=DEADLINE
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u041f\u043e\u043b" in done.stdout


@pytest.mark.parametrize("how", ["loop", "thread", "main"])
def test_what_ends_the_program_or_a_thread_of_it_is_in_its_log(tmp_path: Path, how: str) -> None:
    """A fault of ours cannot be had to order: it is put where the real program would meet one."""
    program = f"""
import asyncio, sys, threading
from pathlib import Path
from api import __main__ as headless
from core.output import sidecar_log
from core.settings.paths import Paths
from core.supervision.supervisor import Supervisor

def fail(*_):
    raise LookupError("this should never be")

async def fail_on_the_loop(*_):
    fail()

if {how!r} == "loop":
    Supervisor.run = fail_on_the_loop
    sys.exit(headless.main(["--port", "0", "--data-dir", sys.argv[1]]))
sidecar_log.configure(Paths(Path(sys.argv[1])), verbose=False)
if {how!r} == "thread":
    thread = threading.Thread(target=fail, name="odd")
    thread.start()
    thread.join()
else:
    fail()
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=CHECKOUT, capture_output=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == (0 if how == "thread" else 1)
    for told in ((tmp_path / "AuraData/logs/sidecar.log").read_text(), done.stderr.decode()):
        assert told.count("CRITICAL core.output.sidecar_log: ") == 1
        assert told.count("LookupError: this should never be") == 1


def test_a_refusal_to_serve_is_in_the_log_too(tmp_path: Path, web_server: int) -> None:
    command = [sys.executable, "-m", "api", "--port", str(web_server), "--data-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, timeout=DEADLINE, check=False)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{web_server}" in (tmp_path / "AuraData/logs/sidecar.log").read_text()
    assert done.stderr.decode().count(f"cannot listen on 127.0.0.1:{web_server}") == 1


def test_what_others_chose_does_not_act_on_whoever_reads_our_own_log(tmp_path: Path) -> None:
    program = """
import logging, sys
from pathlib import Path
from core.output import sidecar_log
from core.settings.paths import Paths
sidecar_log.configure(Paths(Path(sys.argv[1])), verbose=False)
logging.info("model %s", "a\\x1b[31mb\\x07\\x9b\\u202e")
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=CHECKOUT, capture_output=True, timeout=DEADLINE, check=True
    )
    for told in ((tmp_path / "AuraData/logs/sidecar.log").read_bytes(), done.stderr):
        assert told.rstrip().endswith(rb"INFO root: model ab\x07\u009b\u202e")
