"""The sidecar beside full pipes, disks that hang and terminals that go away."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import fake_ollama
from tests.api.alone import DEADLINE, END_SECONDS, is_refusal, refuse, running
from tests.beds.ending import end
from tests.beds.hanging_disk import HangingDisk
from tests.beds.require import require
from tests.beds.wire import call

assert sys.platform == "linux"


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


@pytest.mark.timeout(60)  # as many calls as overfill what waits for the disk
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


def test_a_log_on_a_disk_that_hangs_from_the_beginning_keeps_nobody_from_serving(tmp_path: Path) -> None:
    disk = require(lambda: HangingDisk(tmp_path, tmp_path / "AuraData" / "logs"))
    disk.hang()
    with running(tmp_path, stderr=subprocess.DEVNULL, env=disk.environment) as program:
        assert call("GET", f"{program.url()}/healthz").status == 200
        assert end(program.process, END_SECONDS) == 0


def test_a_folder_whose_name_is_no_text_is_served(tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xe9"))
    with running(root, stderr=subprocess.DEVNULL) as program:
        assert program.process.stdout is not None
        assert rb"d\udce9" in program.process.stdout.readline()
        assert call("GET", f"{program.url()}/healthz").status == 200
        assert end(program.process, END_SECONDS) == 0


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
