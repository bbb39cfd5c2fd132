"""`status`: from the sidecar, and from the files where there is none."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from cli import exits
from core import files
from core.platform import birth, make_private_dir
from tests import tied
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import copy_models
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call, free_port
from tests.cli.terminal import aura

pytestmark = pytest.mark.timeout(90)


@contextmanager
def stranger(answer: bytes = b"") -> Iterator[tuple[str, list[bytes]]]:
    """A server that is no sidecar and says that, and what was sent to it."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    heard.append(connection.recv(4096))
                    connection.sendall(answer)

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", heard
        finally:
            # Some systems do not end an `accept` when its socket is closed.
            with socket.create_connection(server.getsockname()):
                server.close()
            thread.join()


def leave_note(root: Path, url: str, pid: int, born: str | None) -> None:
    run = root / "AuraData" / "run"
    make_private_dir(str(run))
    files.write(str(run / "token"), "t" * 43)
    files.write(str(run / "sidecar.json"), json.dumps({"url": url, "pid": pid, "birth": born}))


def test_a_running_ollama_is_told_with_its_address_version_and_process(running: Sidecar) -> None:
    status = call("GET", f"{running.url}/api/ollama/status").json
    said = aura("status", data=running.root)
    assert (said.code, said.err) == (exits.DONE, "")
    assert "is running" in said.out.partition("\n")[0]
    for shown in (running.ollama_url, str(status["version"]), f"{status['pid']}, started here"):
        assert shown in said.out
    with_json = aura("status", "--json", data=running.root)
    assert with_json.code == exits.DONE
    assert with_json.json["pid"] == status["pid"]
    assert with_json.json.keys() == status.keys()


def test_no_running_ollama_has_an_exit_code_of_its_own(stopped: Sidecar) -> None:
    said = aura("status", data=stopped.root)
    assert (said.code, said.err) == (exits.NOT_RUNNING, "")
    assert "running" not in said.out.partition("\n")[0].replace("not running", "")
    assert aura("status", "--json", data=stopped.root).code == exits.NOT_RUNNING


def test_an_instance_is_named_and_one_that_is_not_there_is_told(stopped: Sidecar) -> None:
    assert aura("status", "--instance", "default", data=stopped.root).code == exits.NOT_RUNNING
    missing = aura("status", "--instance", "other", "--json", data=stopped.root)
    assert missing.code == exits.FAILED
    assert missing.json["code"] == "no_such_instance"
    assert "'other'" in missing.err


def test_without_a_sidecar_the_files_tell_what_became_of_ollama(tmp_path: Path) -> None:
    bed = require(ollama)
    copy_models(tmp_path / "models")
    port = free_port()
    with Sidecar(tmp_path, executable=bed.executable, models=tmp_path / "models", ollama_port=port) as sidecar:
        started = call("POST", f"{sidecar.url}/api/ollama/start", timeout=60)
        pid = int(str(started.json["pid"]))
        sidecar.process.kill()
        sidecar.process.wait()
        # On Windows a launcher stands before Python, and takes it along.
        alive = aura("status", "--json", data=tmp_path)
        assert alive.code == exits.NO_SIDECAR
        assert alive.json["code"] == "no_sidecar"
        (found,) = alive.json["instances"]
        assert (found["id"], found["pid"], found["processLives"]) == ("default", pid, True)
        assert (found["portAnswers"], found["endedAt"]) == (True, None)
        told = aura("status", data=tmp_path)
        assert (told.code, told.err) == (exits.NO_SIDECAR, alive.err)
        for words in ("No sidecar watches Ollama", "lives", str(pid), sidecar.ollama_url, "accepts connections"):
            assert words in told.out
        server = psutil.Process(pid)
        server.kill()
        server.wait(tied.seconds(10))
    ended = aura("status", "--json", data=tmp_path)
    (found,) = ended.json["instances"]
    assert (found["processLives"], found["portAnswers"]) == (False, False)
    assert "has ended" in aura("status", data=tmp_path).out


def test_before_the_first_start_the_address_of_the_settings_is_tried(tmp_path: Path) -> None:
    with stranger() as (url, _):
        (tmp_path / "AuraData").mkdir()
        (tmp_path / "AuraData/settings.json").write_text(json.dumps({"ollamaUrl": url}))
        said = aura("status", "--json", data=tmp_path)
    assert said.code == exits.NO_SIDECAR
    (found,) = said.json["instances"]
    assert (found["url"], found["pid"], found["portAnswers"]) == (url, None, True)


@pytest.mark.parametrize("born", ["another one", None])
def test_the_token_never_goes_to_what_took_the_place_of_a_killed_sidecar(tmp_path: Path, born: str | None) -> None:
    """Either its pid is another program's by now, or nobody has it (2^22 is the most that Linux gives)."""
    with stranger() as (url, heard):
        leave_note(tmp_path, url, os.getpid() if born else 4_194_304, born)
        for command in ("status", "start", "metrics"):
            said = aura(command, data=tmp_path)
            assert said.code == exits.NO_SIDECAR, said
            assert "has ended" in said.err
        assert heard == []


def test_a_sidecar_that_answers_with_no_http_is_a_failure_in_words(tmp_path: Path) -> None:
    with stranger() as (url, heard):
        leave_note(tmp_path, url, os.getpid(), birth(os.getpid()))
        said = aura("status", data=tmp_path)
        assert (said.code, said.out) == (exits.FAILED, "")
        assert f"The sidecar at {url} broke the call off" in said.err
        assert "Traceback" not in said.err
        assert heard


@pytest.mark.parametrize("status", [b"200 OK", b"502 Bad Gateway"])
@pytest.mark.parametrize("body", [b"<p>oops</p>", b"[]", b"7"])
def test_an_answer_that_is_no_json_object_is_a_failure_in_words(status: bytes, body: bytes, tmp_path: Path) -> None:
    with stranger(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)) as (url, _):
        leave_note(tmp_path, url, os.getpid(), birth(os.getpid()))
        said = aura("status", "--json", data=tmp_path)
    assert (said.code, said.json["success"]) == (exits.FAILED, False)
    assert said.json["message"] in said.err
    assert "Traceback" not in said.err


def test_a_sidecar_that_hangs_is_told_whatever_is_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as threads:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        leave_note(tmp_path, url, os.getpid(), birth(os.getpid()))
        commands = (["start"], ["load", "tiny"], ["rm", "tiny", "--yes"], ["events"], ["events", "-f"])
        # Each would wait half a minute, or 12 minutes, for the answer itself.
        for said in threads.map(lambda words: aura(*words, data=tmp_path), commands):
            assert (said.code, said.out) == (exits.FAILED, "")
            assert f"The sidecar at {url} does not answer." in said.err


def test_a_note_that_is_damaged_counts_as_none(tmp_path: Path) -> None:
    run = tmp_path / "AuraData" / "run"
    make_private_dir(str(run))
    for content in ("", "[]", '{"url": "http://127.0.0.1:1"}', '{"url": 1, "pid": "x"}'):
        files.write(str(run / "sidecar.json"), content)
        assert aura("status", data=tmp_path).code == exits.NO_SIDECAR
