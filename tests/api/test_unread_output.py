"""What the sidecar prints and logs holds it up nowhere: unread pipes, disks that hang, texts that nobody can print."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from core.config import Paths
from core.outlet import MOST_QUEUED
from tests import fake_ollama, tied
from tests.beds.ending import NO_SIGTERM, NO_WINDOW, ask_to_end, end
from tests.beds.hanging_disk import HangingDisk
from tests.beds.require import require
from tests.beds.sidecar import CHECKOUT
from tests.beds.wire import call, free_port

DEADLINE = tied.seconds(10.0)
END_SECONDS = tied.seconds(5.0)


class Program:
    """`python -m api` on a data folder of its own, with its standard streams as told."""

    def __init__(
        self,
        root: Path,
        *,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        env: Mapping[str, str] | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.paths = Paths(root)
        self.log = self.paths.logs.parent / "sidecar.log"
        self.paths.data.mkdir(parents=True, exist_ok=True)
        self.paths.settings.write_text(json.dumps({"ollamaUrl": f"http://127.0.0.1:{free_port()}"}))
        self.paths.sidecar.write_text(json.dumps(settings or {}))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "api", "--port", "0", "--data-dir", str(root)],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONIOENCODING": "", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            creationflags=NO_WINDOW,
        )

    def url(self) -> str:
        """Where it listens, once it does, by its own note."""
        note = self.paths.run / "sidecar.json"
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                return str(json.loads(note.read_text())["url"])
            except (OSError, ValueError):
                assert time.monotonic() < deadline, "it does not serve"
                assert self.process.poll() is None, self.process.returncode
            time.sleep(0.01)

    def close(self) -> None:
        """End it in any case."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@contextlib.contextmanager
def running(root: Path, **how: object) -> Iterator[Program]:
    program = Program(root, **how)  # type: ignore[arg-type]
    try:
        yield program
    finally:
        program.close()


def refuse(url: str, times: int) -> None:
    """Call as a page of another site, which is refused and logged each time."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=DEADLINE)
    for number in range(times):
        connection.request("GET", "/api/ollama/status", headers={"Origin": "http://page.example"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 403
        if number % 100 == 99:
            # Made anew at the next request.
            connection.close()
    connection.close()


def is_refusal(line: str) -> bool:
    return "GET '/api/ollama/status' 403" in line


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


@tied.posix("fills a pipe to the last byte")
@NO_SIGTERM
def test_a_greeting_into_a_full_pipe_keeps_nobody_from_serving(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(writer, b"x" * 4096):
                pass
        os.set_blocking(writer, True)
        with running(tmp_path, stdout=writer, stderr=writer) as program:
            url = program.url()
            refuse(url, 800)
            assert call("GET", f"{url}/healthz").status == 200
            assert end(program.process, END_SECONDS) == 0
    finally:
        os.close(reader)
        os.close(writer)


@tied.posix("makes a pipe non-blocking, as Node.js does")
def test_a_pipe_that_does_not_block_loses_nothing_that_is_read(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with (
        running(tmp_path, stderr=writer) as program,
        os.fdopen(reader, "rb") as stderr,
        concurrent.futures.ThreadPoolExecutor() as reading,
    ):
        os.close(writer)
        refuse(program.url(), 800)
        said = reading.submit(stderr.read)
        assert end(program.process, END_SECONDS) == 0
        assert sum(map(is_refusal, said.result().decode().splitlines())) == 800


def test_streams_that_were_closed_on_their_other_side_end_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as program:
        for stream in (program.process.stdout, program.process.stderr):
            assert stream is not None
            stream.close()
        url = program.url()
        refuse(url, 3)
        assert call("GET", f"{url}/healthz").status == 200
        assert end(program.process, END_SECONDS) == 0


@tied.linux("has a disk hang")
def test_a_log_on_a_disk_that_hangs_holds_neither_serving_nor_ending(tmp_path: Path) -> None:
    log = tmp_path / "AuraData" / "logs" / "sidecar.log"
    disk = require(lambda: HangingDisk(tmp_path, log))
    with running(tmp_path, stderr=subprocess.DEVNULL, env=disk.environment) as program:
        url = program.url()
        refuse(url, 1)
        disk.hang()
        refuse(url, 4000)
        assert call("GET", f"{url}/healthz").status == 200
        assert call("POST", f"{url}/api/ollama/stop").status == 409
        disk.heal()
        deadline = time.monotonic() + DEADLINE
        while "missing here: the disk did not take them" not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        disk.hang()
        refuse(url, 1)
        assert end(program.process, END_SECONDS) == 0


@tied.linux("has a disk hang")
def test_a_log_on_a_disk_that_hangs_from_the_beginning_keeps_nobody_from_serving(tmp_path: Path) -> None:
    disk = require(lambda: HangingDisk(tmp_path, tmp_path / "AuraData" / "logs"))
    disk.hang()
    with running(tmp_path, stderr=subprocess.DEVNULL, env=disk.environment) as program:
        assert call("GET", f"{program.url()}/healthz").status == 200
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


@tied.linux("a file name of any bytes")
def test_a_folder_whose_name_is_no_text_is_served(tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xe9"))
    with running(root, stderr=subprocess.DEVNULL) as program:
        assert program.process.stdout is not None
        assert rb"d\udce9" in program.process.stdout.readline()
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
from core import journal
from core.config import Paths
from core.supervisor import Supervisor

def fail(*_):
    raise LookupError("this should never be")

async def fail_on_the_loop(*_):
    fail()

if {how!r} == "loop":
    Supervisor.run = fail_on_the_loop
    sys.exit(headless.main(["--port", "0", "--data-dir", sys.argv[1]]))
journal.configure(Paths(Path(sys.argv[1])), verbose=False)
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
        assert told.count("CRITICAL core.journal: ") == 1
        assert told.count("LookupError: this should never be") == 1


def test_a_refusal_to_serve_is_in_the_log_too(tmp_path: Path, web_server: int) -> None:
    command = [sys.executable, "-m", "api", "--port", str(web_server), "--data-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, timeout=DEADLINE, check=False)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{web_server}" in (tmp_path / "AuraData/logs/sidecar.log").read_text()
    assert done.stderr.decode().count(f"cannot listen on 127.0.0.1:{web_server}") == 1


@tied.posix("file modes")
def test_the_sidecars_log_is_for_this_user_alone_and_older_ones_are_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "AuraData" / "logs"
    folder.mkdir(parents=True, mode=0o755)
    names = ["sidecar.log", "sidecar.log.1", "sidecar.log.3"]
    for name in names:
        (folder / name).write_text("before\n")
        (folder / name).chmod(0o644)
    with running(tmp_path, stderr=subprocess.DEVNULL) as program:
        refuse(program.url(), 1)
        assert end(program.process, END_SECONDS) == 0
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [(folder / name).stat().st_mode & 0o777 for name in names] == [0o600] * 3
    assert (folder / "sidecar.log").read_text().startswith("before\n")


@tied.posix("SIGHUP")
class TestHangUp:
    """A terminal or a session that goes away."""

    @pytest.mark.parametrize("stop_on_terminate", [False, True])
    def test_it_ends_the_sidecar_as_sigterm_does(self, tmp_path: Path, *, stop_on_terminate: bool) -> None:
        executable = fake_ollama.install(tmp_path / "bin")
        with running(tmp_path, settings={"stopOnTerminate": stop_on_terminate}) as program:
            aura = json.loads(program.paths.settings.read_text()) | {"ollamaExecutablePath": str(executable)}
            program.paths.settings.write_text(json.dumps(aura))
            url = program.url()
            started = call("POST", f"{url}/api/ollama/start", timeout=30).json
            assert started["success"], started
            program.process.send_signal(signal.SIGHUP)
            assert program.process.wait(END_SECONDS * 2) == 0
            answers = True
            try:
                call("GET", aura["ollamaUrl"] + "/api/version")
            except OSError:
                answers = False
            assert answers is not stop_on_terminate
        if answers:
            with running(tmp_path) as program:
                program.paths.settings.write_text(json.dumps(aura))
                url = program.url()
                assert call("POST", f"{url}/api/ollama/stop", timeout=30).status == 200

    def test_one_that_we_were_started_to_ignore_is_ignored(self, tmp_path: Path) -> None:
        """As nohup(1) does: an ignored signal stays ignored in what it starts."""
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with running(tmp_path) as program:
                url = program.url()
                program.process.send_signal(signal.SIGHUP)
                assert call("GET", f"{url}/healthz").status == 200
                program.process.send_signal(signal.SIGTERM)
                assert program.process.wait(END_SECONDS) == 0
        finally:
            signal.signal(signal.SIGHUP, before)
