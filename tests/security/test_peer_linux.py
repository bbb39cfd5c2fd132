"""A program of another user cannot start, stop or show anything without the token; ours and root's can."""

from __future__ import annotations

import asyncio
import resource
import socket
import sys
from pathlib import Path

import pytest

from api.hooks import Hooks
from core import token
from core.platform.sockets import peer_linux
from core.supervision.state import State
from tests import fake_ollama
from tests.api.serving import serving
from tests.rig import Rig
from tests.security.another_user import require_root, speak_as_nobody

assert sys.platform == "linux"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A stand-in that would start at once."""
    require_root()
    return Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))


def post(port: int, path: str, *headers: str) -> bytes:
    """A mutation as bytes."""
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Length: 0", "Connection: close", *headers]
    return "\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode()


@pytest.mark.parametrize(
    "path", ["/api/ollama/start", "/api/ollama/stop", "/api/ollama/restart", "/api/app/show", "/nowhere"]
)
async def test_another_users_program_cannot_change_anything_without_the_token(rig: Rig, path: str) -> None:
    shown = []

    async def show() -> None:
        shown.append(1)

    async with serving(rig, Hooks(on_show=show)) as served:
        pid = (await served.supervisor.start()).pid
        answer = await asyncio.to_thread(speak_as_nobody, served.port, post(served.port, path))
        assert b" 403 " in answer.partition(b"\r\n")[0]
        assert b'"user_refused"' in answer
        status = await served.supervisor.status()
        assert (status.state, status.pid, rig.starts) == (State.RUNNING, pid, 1)
    assert shown == []


async def test_with_the_token_another_users_program_may(rig: Rig) -> None:
    async with serving(rig) as served:
        secret = await asyncio.to_thread(token.read_or_create, rig.paths.run)
        request = post(served.port, "/api/ollama/start", f"X-Aura-Token: {secret}")
        answer = await asyncio.to_thread(speak_as_nobody, served.port, request)
        assert b" 200 " in answer.partition(b"\r\n")[0]


def get(port: int, path: str, *headers: str, method: str = "GET") -> bytes:
    """A look as bytes."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_another_users_program_reads_no_log_without_the_token(rig: Rig, method: str) -> None:
    """Prompts may be in it, and its files are closed to them."""
    async with serving(rig) as served:
        port = served.port
        answer = await asyncio.to_thread(speak_as_nobody, port, get(port, "/api/ollama/logs", method=method))
        assert b" 403 " in answer.partition(b"\r\n")[0]
        secret = await asyncio.to_thread(token.read_or_create, rig.paths.run)
        request = get(port, "/api/ollama/logs", f"X-Aura-Token: {secret}", method=method)
        answer = await asyncio.to_thread(speak_as_nobody, port, request)
        assert b" 200 " in answer.partition(b"\r\n")[0]


async def test_another_users_program_follows_no_log_without_the_token(rig: Rig) -> None:
    async with serving(rig) as served:
        port, path = served.port, "/api/ollama/logs/stream"
        for method in ("GET", "HEAD"):
            answer = await asyncio.to_thread(speak_as_nobody, port, get(port, path, method=method))
            assert b" 403 " in answer.partition(b"\r\n")[0]
        secret = await asyncio.to_thread(token.read_or_create, rig.paths.run)
        # The head alone, since a stream does not end.
        request = get(port, path, f"X-Aura-Token: {secret}", method="HEAD")
        answer = await asyncio.to_thread(speak_as_nobody, port, request)
        assert b" 200 " in answer.partition(b"\r\n")[0]


async def test_another_users_desktop_page_changes_nothing(rig: Rig) -> None:
    """That its browser keeps no origins lets it look, as any program may."""
    metadata = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors")
    async with serving(rig) as served:
        answer = await asyncio.to_thread(
            speak_as_nobody, served.port, post(served.port, "/api/ollama/start", *metadata)
        )
        assert b'"user_refused"' in answer
        answer = await asyncio.to_thread(
            speak_as_nobody, served.port, get(served.port, "/api/ollama/status", *metadata)
        )
        assert b" 200 " in answer.partition(b"\r\n")[0]
    assert rig.starts == 0


async def test_another_users_program_may_look(rig: Rig) -> None:
    async with serving(rig) as served:
        answer = await asyncio.to_thread(speak_as_nobody, served.port, get(served.port, "/api/ollama/status"))
        assert b" 200 " in answer.partition(b"\r\n")[0]


async def test_one_that_leaves_before_it_is_asked_who_it_was_is_refused(rig: Rig) -> None:
    """The kernel shows a closed socket as root's."""
    async with serving(rig) as served:
        for _ in range(20):
            request = post(served.port, "/api/ollama/start")
            await asyncio.to_thread(speak_as_nobody, served.port, request, stay=False)
        assert (await served.supervisor.status()).state is State.STOPPED
        assert rig.starts == 0


def test_our_own_socket_is_ours_by_whatever_family_it_speaks() -> None:
    """The kernel and its tables say the same."""
    for family, bound, reached in (
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET, "127.0.0.1", "::ffff:127.0.0.1"),
        (socket.AF_INET6, "::1", "::1"),
    ):
        with socket.create_server((bound, 0), family=family) as server:
            own = server.getsockname()[:2]
            caller = socket.socket(socket.AF_INET6 if ":" in reached else socket.AF_INET)
            with caller:
                caller.connect((reached, own[1]))
                accepted, peer = server.accept()
                with accepted:
                    ends = (peer[0], peer[1]), (own[0], own[1])
                    found = peer_linux._search(*ends)
                    assert peer_linux.socket_owner_is_us(*ends) is True
                    assert (found, found and found.is_us) == (peer_linux._ask(*ends), True)
                    caller.close()
                    assert peer_linux.socket_owner_is_us(*ends) is False
                    found = peer_linux._search(*ends)
                    assert found is None or not found.is_us


@pytest.mark.parametrize("is_line_open", [True, False])
def test_who_uses_up_our_descriptors_does_not_get_past_the_question(
    monkeypatch: pytest.MonkeyPatch, *, is_line_open: bool
) -> None:
    """The line to the kernel stays open; where it is not, nobody is taken for us."""
    monkeypatch.setattr(peer_linux, "_kernel", peer_linux._Kernel())
    with socket.create_server(("127.0.0.1", 0)) as server:
        own = server.getsockname()
        with socket.create_connection(own) as caller:
            peer = caller.getsockname()
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            if is_line_open:
                assert peer_linux.socket_owner_is_us(peer, own) is True
            # A limit below what is open: nothing more can be opened.
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            try:
                assert peer_linux.socket_owner_is_us(peer, own) is is_line_open
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert peer_linux.socket_owner_is_us(peer, own) is True
