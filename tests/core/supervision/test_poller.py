"""How little is asked while nobody looks, and that the truth is told all the same."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import psutil
import pytest

from core.supervision.state import State
from tests import fake_ollama, tied
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import OllamaServer
from tests.core.supervision.test_models import Counting, suspended
from tests.rig import DEADLINE, Rig, until, until_state

WATCHED_SECONDS = 11.0


@pytest.mark.timeout(60)  # eleven seconds are watched
async def test_an_ollama_that_is_not_ours_is_asked_for_its_version_each_5_s_and_for_nothing_else(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    theirs = Counting()
    theirs.may_list.set()
    async with theirs.serving(rig.port), rig.supervising() as supervisor:
        await until(supervisor, lambda status: bool(status.models))
        await supervisor.status()
        theirs.asked.clear()
        with supervisor.subscribe():
            await asyncio.sleep(WATCHED_SECONDS)
        assert 1 <= theirs.asked.count("/api/version") <= 3
        assert len([path for path in theirs.asked if path != "/api/version"]) <= 1, "it may be asked once what it is"


@pytest.mark.timeout(60)  # twenty seconds are watched
async def test_the_log_of_a_real_ollama_tells_of_a_few_requests_of_ours_each_of_them_marked(tmp_path: Path) -> None:
    rig = Rig(tmp_path, require(ollama).executable)
    server = await asyncio.to_thread(OllamaServer, tmp_path / "theirs", port=rig.port)
    with server:
        async with rig.supervising() as supervisor:
            await until_state(supervisor, State.EXTERNAL)
            await supervisor.status()
            before = _requests(server.log)
            await asyncio.sleep(20.0)
            asked = _requests(server.log)[len(before) :]
    assert 1 <= len(asked) <= 5, asked  # 15 a minute
    assert all("by=aura-ollama" in line for line in asked)


async def test_nobody_is_asked_anything_while_the_port_is_free_and_who_comes_is_seen_soon(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    theirs = Counting()
    async with rig.supervising() as supervisor:
        assert (await supervisor.status()).state is State.STOPPED
        async with theirs.serving(rig.port):
            began = time.monotonic()
            await until_state(supervisor, State.EXTERNAL)
            assert time.monotonic() - began < tied.seconds(2.5)
        await until_state(supervisor, State.STOPPED)


@pytest.mark.timeout(60)  # eleven seconds are watched
async def test_a_knock_says_nothing(tmp_path: Path) -> None:
    """Whoever takes the connection and is no Ollama is asked once when it comes, and then with each look."""
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    async with rig.supervising() as supervisor:
        assert (await supervisor.status()).state is State.STOPPED
        heard: list[bytes] = []

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.read(1))
            writer.close()

        server = await asyncio.start_server(listen, "127.0.0.1", rig.port, family=socket.AF_INET)
        async with server:
            await until(supervisor, lambda status: status.owner is not None or bool(heard and heard[-1]))
            await asyncio.sleep(WATCHED_SECONDS)
        assert heard[0] == b""
        # Each look may ask twice, as the first connection was closed on it.
        assert len([one for one in heard if one]) <= 8


@pytest.mark.timeout(30)  # two waits of some seconds each
async def test_one_that_begins_to_hang_is_told_within_a_few_seconds_though_nobody_asks(tmp_path: Path) -> None:
    rig = Rig(tmp_path, require(ollama).executable)
    async with rig.supervising() as supervisor:
        await supervisor.start()
        with suspended(rig.ollamas()):
            hanging = await until(supervisor, lambda status: status.error is not None)
            assert hanging.error == "Connection timeout"
        await until(supervisor, lambda status: status.error is None)


async def test_the_death_of_ours_is_an_event(tmp_path: Path) -> None:
    rig = Rig(tmp_path, require(ollama).executable)
    async with rig.supervising() as supervisor:
        started = await supervisor.start()
        assert started.pid
        began = time.monotonic()
        psutil.Process(started.pid).kill()
        await until_state(supervisor, State.FAILED)
        assert time.monotonic() - began < min(tied.seconds(2.0), DEADLINE)


def _requests(log: Path) -> list[str]:
    return [line for line in log.read_text(errors="replace").splitlines() if line.startswith("[GIN]")]
