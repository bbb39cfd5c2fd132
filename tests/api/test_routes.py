"""The documented endpoints over real HTTP, on the real Ollama and on what it cannot be made to do."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from api.errors import problem
from api.http.body import encoded
from api.schemas import LogsBody, models_body, utc_text
from core.ollama.models import Model
from core.platform import known_executables
from core.supervision.state import ModelsNews
from core.text import size_text
from tests import fake_ollama, tied
from tests.api.serving import Served, serving
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import OllamaServer
from tests.beds.wire import listens
from tests.rig import Rig, gone

PROBLEM = {"type", "title", "status", "detail", "code", "success", "message", "action"}


@pytest.fixture
def real(tmp_path: Path) -> Rig:
    """The real Ollama with the tiny model."""
    return Rig(tmp_path, require(ollama).executable).with_model()


@pytest.fixture
def fake(tmp_path: Path) -> Rig:
    """A stand-in that behaves."""
    return Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))


async def get(served: Served, path: str) -> tuple[int, dict[str, Any]]:
    """GET, as the Aura client does it."""
    async with served.http.get(path, headers={"Content-Type": "application/json"}) as response:
        return response.status, await response.json(content_type=None)


async def post(served: Served, path: str) -> tuple[int, dict[str, Any]]:
    """POST without a body, as the Aura client does it."""
    async with served.http.post(path, headers={"Content-Type": "application/json"}) as response:
        return response.status, await response.json(content_type=None)


async def _until(served: Served, *, state: str) -> dict[str, Any]:
    """The first status in that state, within 5 s."""
    async with asyncio.timeout(5):
        while (status := (await get(served, "/api/ollama/status"))[1])["state"] != state:
            await asyncio.sleep(0.01)
        return status


async def test_the_main_job_by_the_documented_endpoints(real: Rig) -> None:
    async with serving(real) as served:
        status, before = await get(served, "/api/ollama/status")
        documented = {"running": False, "pid": None, "managedByApp": False, "model": None, "error": "Not reachable"}
        assert status == 200
        assert {name: before[name] for name in documented} == documented
        assert before.keys() >= {"installed", "version", "installPath", "state", "ageMs"}
        assert before["installed"] is True

        status, started = await post(served, "/api/ollama/start")
        assert (status, started["success"], started["message"]) == (200, True, "Ollama started successfully")
        assert started["pid"] == real.record.pid

        status, running = await get(served, "/api/ollama/status")
        up = {"running": True, "pid": started["pid"], "managedByApp": True, "model": None, "error": None}
        assert {name: running[name] for name in up} == up
        assert (running["version"], running["state"]) == ("0.9.3", "running")

        status, listed = await get(served, "/api/ollama/models")
        assert listed["count"] == 1
        (model,) = listed["models"]
        assert model["name"] == "tiny:latest"
        assert model["size"] == size_text(model["sizeBytes"])
        assert model["modifiedAt"].endswith("Z")

        await real.generate()
        async with asyncio.timeout(5):
            while (await get(served, "/api/ollama/status"))[1]["model"] != "tiny:latest":
                await asyncio.sleep(0.01)

        status, tail = await get(served, "/api/ollama/logs?maxLines=50")
        assert tail["totalLines"] == len(tail["logs"])
        assert any('POST     "/api/generate"' in line for line in tail["logs"])

        family = real.family()
        status, stopped = await post(served, "/api/ollama/stop")
        assert (status, stopped["success"], stopped["message"]) == (200, True, "Ollama stopped successfully")
        assert not real.is_listening
        assert await gone(family, within=0.5) == []

        status, refused = await post(served, "/api/ollama/stop")
        assert (status, refused["message"]) == (409, "No managed Ollama process running")
        assert refused.keys() == PROBLEM


async def test_fifty_concurrent_starts_are_fifty_successes_with_one_pid(real: Rig) -> None:
    async with serving(real) as served:
        answers = await asyncio.gather(*(post(served, "/api/ollama/start") for _ in range(50)))
        assert {status for status, _ in answers} == {200}
        assert {body["pid"] for _, body in answers} == {real.record.pid}
        assert real.starts == 1


async def test_a_restart_ends_the_whole_tree_and_answers_with_the_new_pid(real: Rig) -> None:
    async with serving(real) as served:
        _, started = await post(served, "/api/ollama/start")
        await real.generate()
        family = real.family()
        status, restarted = await post(served, "/api/ollama/restart")
        assert (status, restarted["success"], restarted["message"]) == (200, True, "Ollama restarted successfully")
        assert restarted["pid"] == real.record.pid != started["pid"]
        assert await gone(family, within=0.5) == []
        assert real.starts == 2
        _, after = await get(served, "/api/ollama/status")
        assert (after["running"], after["pid"], after["managedByApp"]) == (True, restarted["pid"], True)


async def test_a_restart_where_none_runs_is_a_start_and_one_amid_a_start_is_a_success_for_both(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_LISTEN_AFTER="0.5"))
    async with serving(rig) as served:
        starting = asyncio.create_task(post(served, "/api/ollama/start"))
        await _until(served, state="starting")
        status, restarted = await post(served, "/api/ollama/restart")
        assert (status, (await starting)[0]) == (200, 200)
        assert (await starting)[1]["pid"] == restarted["pid"] == rig.record.pid
        assert (await post(served, "/api/ollama/stop"))[0] == 200
        status, restarted = await post(served, "/api/ollama/restart")
        assert (status, restarted["pid"]) == (200, rig.record.pid)


async def test_a_restart_tries_a_start_again_that_has_just_failed(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_EXIT="3", FAKE_STDERR="Error: no such flux\n"))
    async with serving(rig) as served:
        assert (await post(served, "/api/ollama/start"))[0] == 500
        status, body = await post(served, "/api/ollama/restart")
        assert (status, body["title"], body["success"]) == (500, "Failed to Start Ollama", False)
        assert "Error: no such flux" in body["detail"]
        assert rig.starts == 2


async def test_beside_an_external_ollama_start_stop_and_restart_are_conflicts_that_name_it(real: Rig) -> None:
    server = await asyncio.to_thread(OllamaServer, real.root / "theirs", port=real.port)
    with server:
        await asyncio.to_thread(server.wait_ready)
        async with serving(real) as served:
            _, status = await get(served, "/api/ollama/status")
            assert (status["running"], status["managedByApp"], status["pid"]) == (True, False, tied.owner(server.pid))
            code, start = await post(served, "/api/ollama/start")
            assert (code, start["title"]) == (409, "Ollama Already Running")
            assert start["message"] == "Ollama is already running externally. Use the existing instance."
            assert await post(served, "/api/ollama/restart") == (code, start)
            code, stop = await post(served, "/api/ollama/stop")
            assert (code, stop["message"]) == (409, "No managed Ollama process running")
            assert tied.ON_WINE or f"pid {server.pid}" in str(stop["detail"])
            assert server.process.poll() is None


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda root: root / "missing" / "ollama", "path_invalid", "does not exist"),
        (lambda root: root / "folder" / "ollama", "path_invalid", "is a folder"),
        pytest.param(
            lambda root: root / "plain" / "ollama", "path_invalid", "is not executable", marks=tied.posix("file modes")
        ),
        (lambda root: root / "other" / "llama", "path_invalid", "Not an Ollama executable"),
    ],
    ids=["missing", "a folder", "not executable", "another name"],
)
async def test_each_bad_path_is_a_400_with_its_own_words(tmp_path: Path, make: object, code: str, words: str) -> None:
    (tmp_path / "folder" / "ollama").mkdir(parents=True)
    for name, mode in (("plain/ollama", 0o644), ("other/llama", 0o755)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch(mode)
        (tmp_path / name).chmod(mode)
    rig = Rig(tmp_path, make(tmp_path))  # type: ignore[operator]
    async with serving(rig) as served:
        status, body = await post(served, "/api/ollama/start")
        assert (status, body["code"], body["success"]) == (400, code, False)
        assert words in str(body["message"])
        assert body.keys() == PROBLEM


async def test_an_early_exit_is_a_500_with_its_own_words_within_a_second(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_EXIT="3", FAKE_STDERR="Error: no such flux\n"))
    async with serving(rig) as served:
        began = time.monotonic()
        status, body = await post(served, "/api/ollama/start")
        assert time.monotonic() - began < tied.seconds(1.0)
        assert (status, body["title"]) == (500, "Failed to Start Ollama")
        assert "Error: no such flux" in str(body["detail"])
        again = await post(served, "/api/ollama/start")
        assert again == (status, body)
        assert rig.starts == 1
        _, after = await get(served, "/api/ollama/status")
        assert (after["running"], after["state"]) == (False, "failed")
        assert "no such flux" in str(after["reason"])


@tied.beyond_wine("its tables of sockets name no process")
async def test_a_port_held_by_another_program_is_a_conflict_that_names_it(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    with socket.create_server(("127.0.0.1", rig.port)):
        async with serving(rig) as served:
            status, body = await post(served, "/api/ollama/start")
    assert (status, body["code"]) == (409, "port_in_use")
    assert f"pid {os.getpid()}" in str(body["message"])


async def test_models_of_an_ollama_that_is_down_are_none_and_no_error_of_ours(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    async with serving(rig) as served:
        assert await get(served, "/api/ollama/models") == (200, {"models": [], "count": 0, "error": "Not reachable"})


@pytest.mark.parametrize(
    "found", ["0", "10001", "-1", "1.5", "", "ten", "1e3", " 5", "1_0", "٣", "99999999999", "5&maxLines=6"]
)
async def test_a_bad_number_of_lines_names_field_value_and_way_out(tmp_path: Path, found: str) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    async with serving(rig) as served:
        status, body = await get(served, f"/api/ollama/logs?maxLines={found}")
        assert status == 400
        assert str(body["message"]).startswith("maxLines is ")
        assert "1 to 10000" in str(body["action"])


async def test_logs_are_the_last_lines_and_200_unless_told_otherwise(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    rig.paths.logs.mkdir(parents=True)
    lines = [f"[OUT] 2026-01-01 00:00:00 line {number}" for number in range(11_000)]
    (rig.paths.logs / "ollama-20260101-000000.log").write_text("".join(f"{line}\n" for line in lines), newline="\n")
    async with serving(rig) as served:
        for query, count in (("", 200), ("?maxLines=1", 1), ("?maxLines=10000", 10_000)):
            status, body = await get(served, f"/api/ollama/logs{query}")
            assert (status, body["totalLines"]) == (200, count)
            assert body["logs"] == lines[-count:]


async def test_health_answers_whatever_ollama_does(tmp_path: Path) -> None:
    rig = Rig(tmp_path, tmp_path / "nowhere")
    async with serving(rig) as served:
        status, body = await get(served, "/healthz")
        assert (status, body["status"], body["name"]) == (200, "ok", "aura-ollama")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KB"),
        (470058, "459.04 KB"),
        (1 << 30, "1 GB"),
        (5046586572, "4.7 GB"),
        (1 << 60, "1024 PB"),
        ((1 << 63) - 1, "8192 PB"),
        (10**309, "8192 PB"),
        (-1, "0 B"),
    ],
)
def test_sizes_read_as_the_aura_app_prints_them(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ("2024-11-01T10:30:00Z", "2024-11-01T10:30:00Z"),
        ("2024-11-01T12:30:00.123456789+02:00", "2024-11-01T10:30:00Z"),
        ("", ""),
        ("yesterday", "yesterday"),
        ("2024-11-01T10:30:00", "2024-11-01T10:30:00"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00+02:00", "0001-01-01T00:00:00+02:00"),
        ("9999-12-31T23:59:59-01:00", "9999-12-31T23:59:59-01:00"),
    ],
)
def test_times_are_told_in_utc(found: str, text: str) -> None:
    assert utc_text(found) == text


async def test_a_second_start_is_the_same_success(fake: Rig) -> None:
    async with serving(fake) as served:
        first = await post(served, "/api/ollama/start")
        assert first == (200, {"success": True, "message": "Ollama started successfully", "pid": fake.record.pid})
        assert await post(served, "/api/ollama/start") == first
        assert fake.starts == 1


async def test_a_stop_beside_a_start_ends_stopped_and_the_start_says_so(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_NO_LISTEN="1"))
    async with serving(rig) as served:
        starting = asyncio.create_task(post(served, "/api/ollama/start"))
        during = await _until(served, state="starting")
        assert (during["running"], during["managedByApp"], during["wanted"]) == (False, True, "up")
        status, stopped = await post(served, "/api/ollama/stop")
        assert (status, stopped["success"]) == (200, True)
        status, start = await starting
        assert (status, start["code"]) == (409, "superseded")
        assert (await get(served, "/api/ollama/status"))[1]["state"] == "stopped"


async def test_a_client_that_goes_away_leaves_its_start_to_go_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_LISTEN_AFTER="0.5"))
    async with serving(rig) as served:
        leaving = asyncio.create_task(post(served, "/api/ollama/start"))
        await _until(served, state="starting")
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        status, joined = await post(served, "/api/ollama/start")
        assert (status, joined["pid"], rig.starts) == (200, rig.record.pid, 1)


async def test_one_that_never_answers_is_a_500_at_ready_timeout_and_its_tree_is_gone(tmp_path: Path) -> None:
    program = fake_ollama.install(tmp_path / "bin", FAKE_NO_LISTEN="1")
    rig = Rig(tmp_path, program, readyTimeout=0.8, stopTimeout=0.3)
    async with serving(rig) as served:
        starting = asyncio.create_task(post(served, "/api/ollama/start"))
        await _until(served, state="starting")
        async with asyncio.timeout(20):
            while (await get(served, "/api/ollama/status"))[1]["pid"] is None:
                await asyncio.sleep(0.01)
        family = rig.family()
        status, body = await starting
        assert (status, body["code"], body["title"]) == (500, "start_timed_out", "Failed to Start Ollama")
        assert "within 0.8 s" in body["message"]
        assert await gone(family, within=0.5) == []


@tied.beyond_wine("its tables of sockets name no process")
async def test_a_plain_web_server_on_the_port_is_named_by_program_and_pid_and_lives_on(fake: Rig) -> None:
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(fake.port)]
    output = asyncio.subprocess.DEVNULL
    server = await asyncio.create_subprocess_exec(*command, cwd=fake.paths.data, stdout=output, stderr=output)
    try:
        async with asyncio.timeout(8):
            while not await asyncio.to_thread(listens, fake.port):
                await asyncio.sleep(0.01)
        async with serving(fake) as served:
            status, body = await post(served, "/api/ollama/start")
            assert (status, body["code"]) == (409, "port_in_use")
            name = await asyncio.to_thread(lambda: psutil.Process(server.pid).name())
            assert f"{name} (pid {server.pid}" in body["message"]
            assert str(fake.port) in body["message"]
            assert (await post(served, "/api/ollama/stop"))[0] == 409
            _, seen = await get(served, "/api/ollama/status")
            assert (seen["running"], seen["pid"], seen["error"]) == (False, None, "HTTP 404")
            assert f"pid {server.pid}" in seen["reason"]
        assert server.returncode is None
        assert fake.starts == 0
    finally:
        server.kill()
        await server.wait()


async def test_no_path_at_all_is_a_400_that_leads_to_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if any(Path(place).exists() for place in known_executables()):
        pytest.skip("this machine has an Ollama in a known place")
    monkeypatch.setenv("PATH", str(tmp_path))
    rig = Rig(tmp_path, "")
    async with serving(rig) as served:
        status, body = await post(served, "/api/ollama/start")
        assert (status, body["title"]) == (400, "Ollama path not configured")
        assert body["message"] == "Please configure the Ollama executable path in Settings → Providers → Ollama"
        _, seen = await get(served, "/api/ollama/status")
        assert (seen["installed"], seen["installPath"], seen["state"]) == (False, None, "not_installed")


@tied.posix("file names are bytes there")
async def test_a_path_that_is_no_text_is_spelt_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if any(Path(place).exists() for place in known_executables()):
        pytest.skip("this machine has an Ollama in a known place")
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    fake_ollama.install(folder)
    monkeypatch.setenv("PATH", str(folder))
    rig = Rig(tmp_path, "")
    async with serving(rig) as served:
        status, body = await get(served, "/api/ollama/status")
        assert (status, body["installPath"]) == (200, f"{tmp_path}/caf\\xe9/ollama")


@pytest.mark.parametrize(
    ("text", "told"),
    [("Müller", "Müller"), ("caf\udce9", r"caf\xe9"), ("\ud800", r"\ud800"), ("\udc00x\udcff", r"\udc00x\xff")],
)
def test_every_text_has_a_body_that_says_it(text: str, told: str) -> None:
    """In whatever field of whatever body it is."""
    body = problem(400, text, text, text, text).body
    assert isinstance(body, bytes)
    assert {json.loads(body)[name] for name in ("title", "code", "message", "action")} == {told}
    (listed,) = json.loads(encoded(models_body(ModelsNews((Model(text, 1, text, text),), None))))["models"]
    assert [listed[name] for name in ("name", "modifiedAt", "digest")] == [told] * 3
    assert json.loads(encoded(LogsBody(["plain", text], 2)))["logs"] == ["plain", told]


async def test_an_address_that_makes_no_sense_is_a_400_and_a_remote_one_a_409(fake: Rig) -> None:
    program = fake.root / "bin" / "ollama"
    async with serving(fake) as served:
        for url, status, code in (
            ("http://127.0.0.1:99999", 400, "config_invalid"),
            ("https://127.0.0.1:1", 409, "remote"),
        ):
            fake.url = url
            fake.configure(executable=program)
            found, body = await post(served, "/api/ollama/start")
            assert (found, body["code"]) == (status, code)
            assert url in body["message"]
        assert fake.starts == 0


async def test_models_of_an_address_that_makes_no_sense_are_none_and_say_why(fake: Rig) -> None:
    fake.url = "http://127.0.0.1:99999"
    fake.configure(executable=fake.root / "bin" / "ollama")
    async with serving(fake) as served:
        status, body = await get(served, "/api/ollama/models")
        assert (status, body["models"], body["count"]) == (200, [], 0)
        assert "99999" in body["error"]


async def test_models_of_what_answers_with_an_error_are_none_and_say_which(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_STATUS="503"))
    command = [str(rig.root / "bin" / "ollama"), "serve"]
    environment = os.environ | {"OLLAMA_HOST": f"127.0.0.1:{rig.port}"}
    broken = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(8):
            while not await asyncio.to_thread(listens, rig.port):
                await asyncio.sleep(0.01)
        async with serving(rig) as served:
            assert await get(served, "/api/ollama/models") == (200, {"models": [], "count": 0, "error": "HTTP 503"})
    finally:
        broken.kill()
        await broken.wait()


async def test_settings_damaged_while_it_serves_are_told_and_do_not_stop_it(fake: Rig) -> None:
    async with serving(fake) as served:
        assert (await get(served, "/api/ollama/status"))[1]["settingsError"] is None
        fake.paths.sidecar.write_text('{"port": "no"}')
        async with asyncio.timeout(3):
            while not (told := (await get(served, "/api/ollama/status"))[1]["settingsError"]):
                await asyncio.sleep(0.01)
        assert "ollama-sidecar.json, line 1" in told
        assert "`port`" in told
        assert (await post(served, "/api/ollama/start"))[0] == 200


async def test_a_sidecar_that_is_closing_answers_503(fake: Rig) -> None:
    async with serving(fake) as served:
        await get(served, "/api/ollama/status")
        served.supervisor.close(stop_ollama=True)
        for path in ("/api/ollama/start", "/api/ollama/stop", "/api/ollama/restart"):
            status, body = await post(served, path)
            assert (status, body["code"]) == (503, "shutting_down")
        assert fake.starts == 0


async def test_before_the_first_start_there_are_no_logs(fake: Rig) -> None:
    async with serving(fake) as served:
        assert await get(served, "/api/ollama/logs") == (200, {"logs": [], "totalLines": 0, "error": None})


@pytest.mark.parametrize("found", ["0", "10001", "ten", "9" * 5000], ids=["0", "10001", "ten", "too long for int()"])
async def test_a_bad_number_of_lines_is_repeated_in_the_answer(fake: Rig, found: str) -> None:
    async with serving(fake) as served:
        _, body = await get(served, f"/api/ollama/logs?maxLines={found}")
        assert body["message"] == f"maxLines is '{found}'."
