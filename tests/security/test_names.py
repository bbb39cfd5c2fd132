"""Names that mean something to a file system, a shell or a URL: none is taken for more than a name."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web
from yarl import URL

from core.logs import tail
from core.ollama.client import Client
from tests import fake_ollama, tied
from tests.api.serving import serving, speak
from tests.beds.wire import free_port
from tests.rig import Rig

SECRET = "what nobody may read through us"
TARGETS = (
    "/../secret.txt",
    "/../../../../../../etc/passwd",
    "/%2e%2e/secret.txt",
    "/%2e%2e%2fsecret.txt",
    "/..%5c..%5csecret.txt",
    "/..%c0%afsecret.txt",
    "/%252e%252e/secret.txt",
    "/api/ollama/logs/../../../secret.txt",
    "/api/ollama/logs/ollama-20240101-000000.log",
    "/api/ollama/logs%00.txt",
    "/api/ollama/status/",
    "/api/ollama/status;x=y",
    "/api/ollama/CON",
    "/NUL",
    "/COM1.txt",
    "/C:/Windows/win.ini",
    "/C:%5cWindows%5cwin.ini",
    "/%5c%5cevil%5cshare",
    "//evil.com/api/ollama/status",
    "/AuraData/run/token",
    "/file:///etc/passwd",
)
NAMES = (
    "; touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "| touch pwned",
    "a\nb",
    "a\r\nHost: evil.com",
    "../../api/delete",
    "tiny?stream=true#x",
    "tiny&keep_alive=-1",
    "http://evil.com/x",
    "user@host:tag",
    '","keep_alive":-1,"x":"',
    "%2e%2e%2f",
    "\0",
    "CON",
    "漢字 \u202e",
    "'\"\\",
    "-h",
    "",
    "x" * 100_000,
)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A stand-in, with a file beside its data that holds a secret."""
    (tmp_path / "secret.txt").write_text(SECRET)
    (tmp_path / "AuraData").mkdir()
    (tmp_path / "AuraData" / "secret.txt").write_text(SECRET)
    return Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))


@pytest.mark.parametrize("target", TARGETS)
async def test_no_target_leads_to_a_file(rig: Rig, target: str) -> None:
    async with serving(rig) as served:
        request = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nConnection: close\r\n\r\n"
        answer = await speak(served.port, request.encode())
        assert answer.split(b" ")[1] in {b"400", b"403", b"404"}, answer
        assert SECRET.encode() not in answer
        assert b"root:" not in answer


async def test_a_name_that_only_looks_like_a_logs_is_neither_read_nor_deleted(rig: Rig) -> None:
    folder = rig.paths.logs
    folder.mkdir(parents=True)
    names = [
        "ollama-20240101-000000.log.txt",
        "ollama-..-000000.log",
        "ollama-20240101-000000..log",
        "ollama-20240101-000000.000.log",
        "ollama-20240101-000000.1.log",
        "OLLAMA-20240101-000000.log",
        "ollama-\uff120240101-000000.log",
        "xollama-20240101-000000.log",
        "secret.log",
    ]
    if sys.platform != "win32":
        names += [
            "CON.log",
            "NUL",
            "ollama-20240101-000000.log\n",
            "..\\ollama-20240101-000000.log",
            "ollama-20240101-000000.log:stream",
        ]
    for name in names:
        (folder / name).write_text(f"{SECRET}\n")
    rig.configure(logStarts=1)
    async with serving(rig) as served:
        for _ in range(2):
            await served.supervisor.start()
            await served.supervisor.stop()
        async with served.http.get("/api/ollama/logs?maxLines=10000") as response:
            assert SECRET not in await response.text()
    assert {path.name for path in folder.iterdir()} >= set(names)
    assert len(await asyncio.to_thread(tail.segments, str(folder))) == 1


@tied.posix("links and FIFOs that anybody may make")
async def test_what_bears_a_logs_name_and_is_no_plain_file_is_neither_followed_nor_waited_for(rig: Rig) -> None:
    folder = rig.paths.logs
    folder.mkdir(parents=True)
    (folder / "ollama-20240101-000000.log").write_text("[OUT] 2024-01-01 00:00:00 a log\n")
    (rig.root / "secret.txt").write_text(f"{SECRET}\n")
    (folder / "ollama-20240101-000001.log").symlink_to(rig.root / "secret.txt")
    (folder / "ollama-20240101-000002.log").symlink_to("/dev/zero")
    if sys.platform != "win32":
        os.mkfifo(folder / "ollama-20240101-000003.log")
    async with serving(rig) as served, served.http.get("/api/ollama/logs") as response:
        assert (await response.json())["logs"] == ["[OUT] 2024-01-01 00:00:00 a log"]


@pytest.mark.parametrize(
    "value", ["0", "-1", "1e3", "٣", "1;2", "../../x", "%00", "1&maxLines=2", "", "9" * 400, "0x10"]
)
async def test_a_number_of_lines_that_is_none_is_refused(rig: Rig, value: str) -> None:
    async with serving(rig) as served, served.http.get(f"/api/ollama/logs?maxLines={value}") as response:
        assert response.status == 400
        assert "maxLines" in (await response.json())["message"]


@pytest.mark.parametrize(
    "path",
    [
        "ollama; touch pwned",
        "/bin/sh -c 'touch pwned' ollama",
        "/tmp/../bin/sh",
        "/bin/sh",
        "\0/bin/ollama",
        "NUL",
        "CON",
        "\\\\evil\\share\\ollama.exe",
        "//evil/share/ollama",
        "http://evil.com/ollama",
        "/dev/null",
        "/proc/self/exe",
        "$(touch pwned)/ollama",
        "-h",
        "../../../bin/ollama",
    ],
)
async def test_an_executable_path_that_is_more_than_a_path_runs_nothing(rig: Rig, path: str) -> None:
    rig.configure(executable=path)
    async with serving(rig) as served:
        async with served.http.post("/api/ollama/start", headers={"Content-Type": "application/json"}) as response:
            assert response.status == 400
            assert (await response.json())["code"] == "path_invalid"
        assert rig.starts == 0
    assert not [*rig.root.rglob("pwned"), *Path.cwd().glob("pwned")]


@asynccontextmanager
async def recording() -> AsyncIterator[tuple[int, list[tuple[str, bytes]]]]:
    """A server that notes what it is asked, and its port."""
    asked: list[tuple[str, bytes]] = []

    async def note(request: web.Request) -> web.Response:
        asked.append((f"{request.method} {request.raw_path}", await request.read()))
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", note)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield port, asked
    finally:
        await runner.cleanup()


async def test_a_models_name_is_only_ever_a_text_in_the_body() -> None:
    async with recording() as (port, asked), Client(f"http://127.0.0.1:{port}", is_local=True) as client:
        for name in NAMES:
            await client.unload(name, 5.0)
    assert [where for where, _ in asked] == ["POST /api/generate?by=aura-ollama"] * len(NAMES)
    assert [json.loads(body) for _, body in asked] == [
        {"model": name, "keep_alive": 0, "stream": False} for name in NAMES
    ]


@pytest.mark.parametrize("call", ["GET info", "GET available", "POST load", "POST unload", "POST pull", "DELETE "])
async def test_a_models_name_in_a_path_is_judged_before_anything_is_done_with_it(rig: Rig, call: str) -> None:
    method, _, action = call.partition(" ")
    # An empty one makes another path, and `CON` is a name like any other.
    names = [name for name in NAMES if name not in {"", "CON"} and len(name) < 1000]
    async with serving(rig) as served:
        for name in names:
            path = f"/api/ollama/models/{quote(name, safe='')}/{action}".rstrip("/")
            url = URL(f"{served.url}{path}", encoded=True)
            async with served.http.request(method, url, headers={"Content-Type": "application/json"}) as response:
                body = await response.json(content_type=None)
                assert (response.status, body["code"]) == (400, "bad_model_name"), (name, body)
        assert rig.starts == 0


@pytest.mark.parametrize("name", [*NAMES, "\ud800"])
async def test_a_models_name_in_the_settings_changes_nothing_else(rig: Rig, name: str) -> None:
    aura = json.loads(rig.paths.settings.read_text()) | {"ollamaModel": name}
    rig.paths.settings.write_text(json.dumps(aura))
    async with serving(rig) as served:
        async with served.http.get("/api/ollama/status") as response:
            assert response.status == 200
            status = await response.json()
        assert status["state"] in {"stopped", "not_installed"}
    assert not await asyncio.to_thread(lambda: [*rig.root.rglob("pwned")])
