"""Whose server answers, against real servers and sockets."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from socket import gethostname

import pytest

from api.schemas import status_body
from core.errors import PortInUse, RemoteOllama
from core.ollama import probe as ollama_probe
from core.ollama.client import Client
from core.ollama.probe import Answer, Probe
from core.owners.exit import Exit
from core.supervision.preflight import is_port_taken
from core.supervision.state import State
from tests import fake_ollama, tied
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import OllamaServer, copy_models
from tests.beds.wire import call, free_port
from tests.core.stranger import NOT_FOUND, ok, stranger
from tests.rig import Rig, until_state

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _serving(answer: bytes) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _probe(url: str) -> Probe:
    async with Client(url, is_local=True) as client:
        return await ollama_probe.probe(client)


async def _loaded(url: str) -> list[str]:
    async with Client(url, is_local=True) as client:
        return [model.name for model in (await client.loaded(5)).models]


async def test_a_real_ollama_is_known_by_its_version_and_its_loaded_models(tmp_path: Path) -> None:
    require(ollama)
    server = await asyncio.to_thread(OllamaServer, tmp_path, models=copy_models(tmp_path / "models"))
    with server:
        await asyncio.to_thread(server.wait_ready)
        assert await _probe(server.url) == Probe(Answer.OLLAMA, None, "0.9.3")
        assert await _loaded(server.url) == []
        async with Client(server.url, is_local=True) as client:
            installed = await client.tags(5)
        assert [model.name for model in installed.models] == ["tiny:latest"]
        assert installed.models[0].size > 100_000
        body = {"model": "tiny", "prompt": "x", "raw": True, "stream": False, "options": {"num_predict": 1}}
        await asyncio.to_thread(call, "POST", f"{server.url}/api/generate", body)
        assert await _loaded(server.url) == ["tiny:latest"]
        async with Client(server.url, is_local=True) as client:
            await client.unload("tiny:latest", timeout=5)
        async with asyncio.timeout(5):
            while await _loaded(server.url):
                await asyncio.sleep(0.01)
    asked = [line for line in server.log.read_text().splitlines() if line.startswith("[GIN]")]
    ours = {line.rpartition(" ")[2] for line in asked if "by=aura-ollama" in line}
    assert ours == {f'"/{path}?by=aura-ollama"' for path in ("", "api/version", "api/tags", "api/ps", "api/generate")}


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", Probe(Answer.SOMETHING_ELSE, "HTTP 404")),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", Probe(Answer.SOMETHING_ELSE, "HTTP 503")),
        (b"HTTP/1.1 302 Go\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", Probe(Answer.SOMETHING_ELSE, "HTTP 302")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", Probe(Answer.SOMETHING_ELSE, "Not reachable")),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"version":1}', Probe(Answer.SOMETHING_ELSE, "Not reachable")),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Probe(Answer.SOMETHING_ELSE, "Not reachable")),
        (b"", Probe(Answer.SOMETHING_ELSE, "Not reachable")),
    ],
)
async def test_what_is_no_ollama_is_told_in_auras_words(answer: bytes, seen: Probe) -> None:
    async with _serving(answer) as url:
        assert await _probe(url) == seen


async def test_silence_and_nobody_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        assert await _probe(f"http://127.0.0.1:{deaf.getsockname()[1]}") == Probe(Answer.SILENCE, "Connection timeout")
    assert await _probe(f"http://127.0.0.1:{free_port()}") == Probe(Answer.NOBODY, "Not reachable")


@pytest.mark.parametrize(
    "words",
    [
        "Error: listen tcp 127.0.0.1:11434: bind: address already in use",
        "Error: listen tcp 127.0.0.1:11434: bind: winapi error #10048",
        "listen tcp 127.0.0.1:11434: bind: Only one usage of each socket address is normally permitted.",
    ],
)
def test_a_taken_port_is_read_off_the_last_words(words: str) -> None:
    assert is_port_taken(Exit(1, "exited", None, ("time=… level=INFO", words)))
    assert not is_port_taken(Exit(1, "exited", None, ("Error: $HOME is not defined",)))


def test_a_real_ollama_on_a_taken_port_says_so_in_words_that_we_know(tmp_path: Path) -> None:
    """`address already in use`, and on Windows `winapi error #10048` or the system's own text for it."""
    bed = require(ollama)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        theirs = OllamaServer(tmp_path, executable=bed.executable, port=holder.getsockname()[1])
        assert theirs.process.wait(tied.seconds(8)) == 1
    theirs.kill()
    last_words = theirs.log.read_text().splitlines()
    assert is_port_taken(Exit(1, "exited", None, tuple(last_words)))
    assert "10048" in last_words[-1] or not tied.ON_WINE


async def test_one_that_loses_the_race_for_the_port_names_the_winner(tmp_path: Path) -> None:
    """The port is free when we look, and taken when Ollama binds it."""
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_LISTEN_AFTER="0.5"))
    async with rig.supervising() as supervisor:
        starting = asyncio.create_task(supervisor.start())
        async with asyncio.timeout(5):
            while rig.starts == 0:
                await asyncio.sleep(0.01)
        winner = "unknown" if tied.ON_WINE else f".*pid {os.getpid()}"
        taken = pytest.raises(PortInUse, match=f"Port {rig.port} is held by {winner}")
        with socket.create_server(("127.0.0.1", rig.port)), taken:
            await starting


async def test_a_program_that_only_has_a_version_holds_the_port_and_is_named(tmp_path: Path) -> None:
    """As Open WebUI does: no "already running", and nothing is started beside it."""
    async with stranger({"/api/version": ok({"version": "0.6.5", "deployment_id": ""})}) as other:
        rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
        rig.port, rig.url = other.port, other.url
        rig.configure()
        async with rig.supervising() as supervisor:
            holder = "unknown" if tied.ON_WINE else f".*pid {os.getpid()}"
            with pytest.raises(PortInUse, match=f"Port {other.port} is held by {holder}"):
                await supervisor.start()
            assert (await supervisor.status()).state is State.STOPPED
        assert rig.starts == 0


@pytest.mark.parametrize("path", ["/v1", "/api", "/foo"])
async def test_a_start_for_an_address_that_is_none_of_ollamas_says_what_to_write(tmp_path: Path, path: str) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    meant = rig.url
    rig.url += path
    rig.configure()
    async with rig.supervising() as supervisor:
        with pytest.raises(RemoteOllama) as caught:
            await supervisor.start()
    assert "elsewhere" not in caught.value.title
    assert f'Set ollamaUrl to "{meant}"' in f"{caught.value.action}"
    assert rig.starts == 0


async def test_a_slow_list_of_models_holds_up_no_start(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_TAGS_DELAY="60"))
    async with rig.supervising() as supervisor:
        assert (await supervisor.start()).state is State.RUNNING


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:{}/v1", "http://127.0.0.1:{}/foo", f"http://{gethostname()}:{{}}/v1"]
)
async def test_the_status_says_what_to_write_where_a_real_ollama_runs_beside_the_address(
    tmp_path: Path, address: str
) -> None:
    """It is not told that a port is held by Ollama, which does not answer as an Ollama."""
    bed = require(ollama)
    rig = Rig(tmp_path, bed.executable)
    server = await asyncio.to_thread(OllamaServer, tmp_path / "theirs", port=rig.port)
    with server:
        meant, rig.url = rig.url, address.format(rig.port)
        rig.configure()
        async with rig.supervising() as supervisor:
            status = await supervisor.status()
            assert (status.is_running, status.meant_url) == (False, meant)
            reason = status_body(status).reason
            assert f'Set ollamaUrl to "{meant}"' in f"{reason}"
            rig.url = meant
            rig.configure()
            found = await until_state(supervisor, State.EXTERNAL)
            assert found.meant_url is None


def _slow(answers: dict[str, tuple[float, bytes]]) -> Serve:
    """Answers each path after its time, and all else with 404; connections stay open."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError), closing(writer.transport):
            while True:
                path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].partition(b"?")[0].decode()
                seconds, answer = answers.get(path, (0.0, NOT_FOUND))
                await asyncio.sleep(seconds)
                writer.write(answer)
                await writer.drain()

    return serve


VERSION = ok({"version": "0.9.3"})
FAILS = b"HTTP/1.1 500 No\r\nContent-Length: 16\r\n\r\n" + b'{"error":"boom"}'


@pytest.mark.parametrize(
    ("greeting", "listing", "answer", "error"),
    [
        ((1.2, ok(b"Ollama is running")), (60.0, NOT_FOUND), Answer.OLLAMA, None),
        ((60.0, NOT_FOUND), (0.0, ok({"models": []})), Answer.OLLAMA, None),
        ((60.0, NOT_FOUND), (60.0, NOT_FOUND), Answer.SILENCE, "Connection timeout"),
        ((0.0, NOT_FOUND), (60.0, NOT_FOUND), Answer.SILENCE, "Connection timeout"),
        ((0.0, FAILS), (0.0, FAILS), Answer.SILENCE, "HTTP 500"),
        ((60.0, NOT_FOUND), (0.0, NOT_FOUND), Answer.SOMETHING_ELSE, "HTTP 404"),
    ],
)
async def test_a_greeting_that_is_late_is_no_sign_of_another_program(
    greeting: tuple[float, bytes], listing: tuple[float, bytes], answer: Answer, error: str | None
) -> None:
    """Then the list is asked for, and what tells neither leaves it open. A server of ours needs no such sign."""
    serve = _slow({"/api/version": (0.0, VERSION), "/": greeting, "/api/tags": listing})
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", is_local=True) as client:
        seen = await ollama_probe.probe(client)
        assert (seen.answer, seen.error) == (answer, error)
        assert (seen.version is None) == (answer is Answer.SOMETHING_ELSE)
        assert await ollama_probe.probe(client, is_ours=True) == Probe(Answer.OLLAMA, None, "0.9.3")
