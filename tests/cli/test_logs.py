"""`aura-ollama logs`, with a sidecar and without, over restarts of Ollama and of the sidecar."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from pathlib import Path

import pytest

from cli import exits
from core.logs import tail
from core.logs.segments import stamp_line
from core.platform import birth, make_private_dir
from tests.beds.ending import end
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call, free_port
from tests.cli.terminal import DEADLINE, Following, aura, begun, following

pytestmark = pytest.mark.timeout(90)
LINE = re.compile(r"\[(OUT|ERR|SYS)\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d .*")


def log_of(root: Path) -> list[str]:
    """All that is in the files."""
    return tail.tail(str(root / "AuraData/logs/ollama"), 100_000)


def write_log(root: Path, *lines: str) -> None:
    folder = root / "AuraData/logs/ollama"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "ollama-20260101-000000.log").open("ab") as log:
        log.write(b"".join(stamp_line("OUT", line) for line in lines))


def test_the_last_lines_are_those_of_the_api(running: Sidecar) -> None:
    said = aura("logs", "-n", "5", data=running.root)
    assert (said.code, said.err) == (exits.DONE, "")
    assert len(said.out.splitlines()) == 5
    assert all(LINE.fullmatch(line) for line in said.out.splitlines())
    assert said.out.splitlines() == log_of(running.root)[-5:]
    with_json = aura("logs", "--lines=5", "--json", data=running.root).json
    assert (with_json["logs"], with_json["totalLines"]) == (said.out.splitlines(), 5)


def test_no_lines_are_none(running: Sidecar) -> None:
    said = aura("logs", "-n", "0", data=running.root)
    assert (said.code, said.out, said.err) == (exits.DONE, "", "")


@pytest.mark.parametrize("wrong", ["-1", "10001", "ten", "1e3", "٣"])
def test_a_wrong_number_is_a_usage_error(wrong: str, tmp_path: Path) -> None:
    said = aura("logs", f"--lines={wrong}", data=tmp_path)
    assert (said.code, said.out) == (exits.USAGE, "")
    assert "give one from 0 to 10000" in said.err


def test_without_a_sidecar_the_lines_come_from_the_files(tmp_path: Path) -> None:
    write_log(tmp_path, *(f"line {number}" for number in range(30)))
    said = aura("logs", "-n", "3", data=tmp_path)
    assert said.code == exits.NO_SIDECAR
    assert [line[26:] for line in said.out.splitlines()] == ["line 27", "line 28", "line 29"]
    assert "No sidecar runs on" in said.err
    assert str(tmp_path / "AuraData") in said.err
    found = aura("logs", "-n", "3", "--json", data=tmp_path)
    assert (found.code, found.json["logs"]) == (exits.NO_SIDECAR, said.out.splitlines())


def test_without_anything_it_says_so_and_makes_nothing(tmp_path: Path) -> None:
    said = aura("logs", data=tmp_path)
    assert (said.code, said.out) == (exits.NO_SIDECAR, "")
    assert "There is no line yet." in said.err
    assert list(tmp_path.iterdir()) == []


def test_an_id_that_no_instance_can_have_is_refused_in_words(tmp_path: Path) -> None:
    said = aura("logs", "--instance", "../x", data=tmp_path)
    assert (said.code, said.out) == (exits.FAILED, "")
    assert "An instance cannot have the id" in said.err


def test_a_line_that_somebody_put_into_the_file_does_nothing_to_a_terminal(tmp_path: Path) -> None:
    """Our own writer takes such characters out, but the file may have come from elsewhere."""
    write_log(tmp_path, "red\x1b[31m\tbell\x07 \x9b2J \u202egnp\u2028 wide 用户 é")
    said = aura("logs", data=tmp_path)
    assert said.out[26:] == "red\\x1b[31m\tbell\\x07 \\x9b2J \\u202egnp\\u2028 wide 用户 é\n"
    with_json = aura("logs", "--json", data=tmp_path)
    assert with_json.out.removesuffix("\n").isprintable()
    assert with_json.json["logs"][0][26:] == "red\x1b[31m\tbell\x07 \x9b2J \u202egnp\u2028 wide 用户 é"


@pytest.fixture
def sidecar_on(tmp_path: Path) -> tuple[Path, int]:
    """A data folder and a port for one sidecar after the other."""
    return tmp_path, free_port()


def new_sidecar(root: Path, port: int, **settings: object) -> Sidecar:
    executable = require(ollama).executable
    return Sidecar(root, executable=executable, models=root / "models", ollama_port=port, settings=settings)


def until_all_are_printed(log: Following, root: Path) -> None:
    """Wait until just what is in the files has been printed; a line too many would stay for ever."""
    log.until(lambda: log.lines == log_of(root))


def test_following_over_restarts_of_ollama_and_of_the_sidecar_loses_and_doubles_nothing(
    sidecar_on: tuple[Path, int],
) -> None:
    root, port = sidecar_on
    with new_sidecar(root, port, stopOnTerminate=False, stopOnQuit=False) as first:
        assert call("POST", f"{first.url}/api/ollama/start", timeout=60).status == 200
        with following("logs", "-f", "-n", "1000", data=root) as log:
            until_all_are_printed(log, root)
            assert call("POST", f"{first.url}/api/ollama/restart", timeout=60).status == 200
            call("GET", f"{first.ollama_url}/api/show-nothing")
            until_all_are_printed(log, root)
            # The Ollama goes on, and so does its log.
            end(first.process, 30)
            log.until(lambda: "Lines are read from" in log.err)
            call("GET", f"{first.ollama_url}/api/while-nobody-looked")
            log.until(lambda: any("while-nobody-looked" in line for line in log.lines))
            until_all_are_printed(log, root)
            with new_sidecar(root, port) as second:
                log.until(lambda: "The sidecar is back." in log.err)
                call("GET", f"{second.ollama_url}/api/after-that")
                log.until(lambda: any("after-that" in line for line in log.lines))
                assert call("POST", f"{second.url}/api/ollama/stop", timeout=60).status == 200
                until_all_are_printed(log, root)
            assert log.err.count("The sidecar is back.") == 1
            assert log.interrupt() == exits.INTERRUPTED
            assert "Traceback" not in log.err


def test_following_may_begin_without_a_sidecar(tmp_path: Path) -> None:
    write_log(tmp_path, "one", "two", "three")
    with following("logs", "-f", "-n", "2", "--json", data=tmp_path) as log:
        log.until(lambda: len(log.lines) == 2)
        write_log(tmp_path, "four")
        log.until(lambda: len(log.lines) == 3)
        found = [json.loads(line) for line in log.lines]
        assert [line["message"] for line in found] == ["two", "three", "four"]
        assert {line["stream"] for line in found} == {"OUT"}
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["at"]) for line in found)
        assert log.interrupt() == exits.INTERRUPTED


def test_a_reader_that_has_enough_ends_it_quietly_though_no_line_comes(tmp_path: Path) -> None:
    write_log(tmp_path, "one", "two")
    with begun("logs", "-f", data=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(2):
            assert process.stdout.readline()
        process.stdout.close()
        if sys.platform == "win32":
            # There only a write can tell.
            write_log(tmp_path, "three")
        assert process.wait(DEADLINE) == exits.DONE
        assert process.stderr.read().count(b"\n") == 1


def test_the_log_is_read_from_the_files_if_the_sidecar_does_not_answer(tmp_path: Path) -> None:
    """A server that takes the call and never answers, under the note of this very process."""
    write_log(tmp_path, "one")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        run = tmp_path / "AuraData/run"
        make_private_dir(str(run))
        note = {"url": f"http://127.0.0.1:{deaf.getsockname()[1]}", "pid": os.getpid(), "birth": birth(os.getpid())}
        (run / "sidecar.json").write_text(json.dumps(note))
        said = aura("logs", data=tmp_path)
    assert (said.code, said.out[26:]) == (exits.FAILED, "one\n")
    assert "does not answer" in said.err
