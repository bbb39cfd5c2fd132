"""Who is let in and who is not, on every route, over real sockets."""

from __future__ import annotations

import asyncio
import json

import pytest

from api.guard import MOST_BODY_BYTES
from api.hooks import HEADLESS, Hooks
from api.routes import Routes
from core import token
from core.state import State
from core.supervisor import Supervisor
from tests import fake_ollama
from tests.api.serving import Served, serving, speak
from tests.rig import Rig

ROUTES = [(route.method, route.path) for route in Routes(Supervisor.__new__(Supervisor), None, HEADLESS).table()]  # type: ignore[arg-type]
EVERYWHERE = [*ROUTES, ("GET", "/nowhere"), ("DELETE", "/api/ollama/status"), ("PUT", "/api/ollama/start")]

HOSTILE = {
    "another name": "Host: evil.com:{port}",
    "a name that resolves here": "Host: 127.0.0.1.nip.io:{port}",
    "a name that begins like ours": "Host: localhost.evil.com:{port}",
    "another port": "Host: 127.0.0.1:1",
    "no port": "Host: 127.0.0.1",
    "upper case": "Host: LOCALHOST:{port}",
    "a trailing dot": "Host: localhost.:{port}",
    "an empty host": "Host: ",
    "no host": "X: y",
    "two hosts": "Host: 127.0.0.1:{port}\r\nHost: evil.com",
    "a foreign origin": "Host: 127.0.0.1:{port}\r\nOrigin: http://evil.com",
    "an origin that begins like the dev server": "Host: 127.0.0.1:{port}\r\nOrigin: http://localhost:5173.evil.com",
    "a foreign origin on the dev server's port": "Host: 127.0.0.1:{port}\r\nOrigin: http://localhost.evil.com:5173",
    "the dev server over TLS": "Host: 127.0.0.1:{port}\r\nOrigin: https://localhost:5173",
    "a file of a host": "Host: 127.0.0.1:{port}\r\nOrigin: file://evil.com",
    "an origin of nothing": "Host: 127.0.0.1:{port}\r\nOrigin: null",
    "an empty origin": "Host: 127.0.0.1:{port}\r\nOrigin: ",
    "two origins": "Host: 127.0.0.1:{port}\r\nOrigin: file://\r\nOrigin: http://evil.com",
    "another local page": "Host: 127.0.0.1:{port}\r\nOrigin: http://localhost:3000",
    "a cross-site page": "Host: 127.0.0.1:{port}\r\nSec-Fetch-Site: cross-site",
    "a same-site page": "Host: 127.0.0.1:{port}\r\nSec-Fetch-Site: same-site",
}
WELCOME = {
    "no browser": "Host: 127.0.0.1:{port}",
    "by name": "Host: localhost:{port}",
    "its own page": "Host: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\nSec-Fetch-Site: same-origin",
    "typed by the user": "Host: 127.0.0.1:{port}\r\nSec-Fetch-Site: none",
    "the dev server's page": "Host: 127.0.0.1:{port}\r\nOrigin: http://localhost:5173\r\nSec-Fetch-Site: cross-site",
    "the dev server by address": "Host: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:5173",
    "through the dev server's proxy": "Host: localhost:5173\r\nOrigin: http://localhost:5173",
    "a page from disk": "Host: 127.0.0.1:{port}\r\nOrigin: file://\r\nSec-Fetch-Site: cross-site",
}


@pytest.fixture
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """A data folder with a stand-in that would start at once."""
    root = tmp_path_factory.mktemp("guard")
    return Rig(root, fake_ollama.install(root / "bin"))


async def _status_of(served: Served, headers: dict[str, str]) -> int:
    async with served.http.get("/healthz", headers=headers) as response:
        return response.status


def _request(method: str, path: str, headers: str, port: int) -> bytes:
    lines = f"{method} {path} HTTP/1.1\r\n{headers.format(port=port)}\r\nConnection: close\r\n\r\n"
    return lines.encode()


def _status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def _header(answer: bytes, name: str) -> str | None:
    for line in answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]:
        key, _, value = line.partition(": ")
        if key.lower() == name.lower():
            return value
    return None


@pytest.mark.parametrize("headers", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_call_is_refused_on_every_route_and_changes_nothing(rig: Rig, headers: str) -> None:
    async with serving(rig) as served:
        for method, path in EVERYWHERE:
            answer = await speak(served.port, _request(method, path, headers, served.port))
            # The parser itself refuses some shapes, before any route is known.
            assert _status(answer) in {400, 403}, (method, path, answer)
            assert _header(answer, "Access-Control-Allow-Origin") is None
            if _status(answer) == 403:
                problem = json.loads(answer.partition(b"\r\n\r\n")[2])
                assert problem.keys() >= {"type", "title", "status", "detail", "code", "message", "success"}
                assert _header(answer, "Cache-Control") == "no-store"
        assert (await served.supervisor.status()).state is State.STOPPED
        assert rig.starts == 0


@pytest.mark.parametrize("headers", WELCOME.values(), ids=WELCOME.keys())
async def test_a_welcome_call_is_answered(rig: Rig, headers: str) -> None:
    async with serving(rig) as served:
        answer = await speak(served.port, _request("GET", "/api/ollama/status", headers, served.port))
        assert _status(answer) == 200
        expected = headers.format(port=served.port).partition("Origin: ")[2].partition("\r")[0] or None
        assert _header(answer, "Access-Control-Allow-Origin") == expected
        assert _header(answer, "Access-Control-Expose-Headers") == ("X-Correlation-ID" if expected else None)


async def test_an_absolute_target_is_refused(rig: Rig) -> None:
    async with serving(rig) as served:
        for target in ("http://evil.com/api/ollama/status", f"http://127.0.0.1:{served.port}/api/ollama/status"):
            answer = await speak(served.port, _request("GET", target, "Host: 127.0.0.1:{port}", served.port))
            assert _status(answer) in {400, 403}


async def test_an_origin_from_the_settings_is_let_in_without_a_restart(rig: Rig) -> None:
    async with serving(rig) as served:
        origin = {"Origin": "https://studio.example"}
        async with served.http.get("/healthz", headers=origin) as response:
            assert response.status == 403
        rig.configure(executable=rig.root / "bin" / "ollama", allowedOrigins=["https://studio.example", "null"])
        async with asyncio.timeout(2):
            while await _status_of(served, origin) != 200:
                await asyncio.sleep(0.01)
        async with served.http.get("/healthz", headers={"Origin": "null"}) as response:
            assert response.status == 200


async def test_a_refused_origin_of_nothing_is_told_to_whoever_runs_us_and_the_token_lets_it_in(rig: Rig) -> None:
    told = []
    async with serving(rig, Hooks(on_null_refused=lambda: told.append(1))) as served:
        async with served.http.get("/healthz", headers={"Origin": "http://evil.com"}) as response:
            assert response.status == 403
        assert told == []
        async with served.http.get("/healthz", headers={"Origin": "null"}) as response:
            assert response.status == 403
        assert told == [1]
        headers = {"Origin": "null", "X-Aura-Token": await asyncio.to_thread(token.read_or_create, rig.paths.run)}
        async with served.http.get("/healthz", headers=headers) as response:
            assert response.status == 200


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""])
async def test_a_body_that_a_form_could_send_is_refused(rig: Rig, kind: str) -> None:
    async with serving(rig) as served:
        for path in ("/api/ollama/start", "/api/ollama/stop", "/api/app/show"):
            async with served.http.post(path, data=b"a=b", headers={"Content-Type": kind}) as response:
                assert response.status == 415
        assert rig.starts == 0


@pytest.mark.parametrize(
    "headers",
    [{}, {"Content-Type": "application/json"}, {"Content-Type": "application/json; charset=utf-8"}],
    ids=["nothing", "as axios does", "with a charset"],
)
async def test_an_empty_post_is_taken_as_the_client_sends_it(rig: Rig, headers: dict[str, str]) -> None:
    async with serving(rig) as served:
        lines = "".join(f"\r\n{name}: {value}" for name, value in headers.items())
        request = _request("POST", "/api/app/show", "Host: 127.0.0.1:{port}" + lines, served.port)
        assert _status(await speak(served.port, request)) == 200


async def test_a_body_beyond_the_limit_is_refused_announced_or_not(rig: Rig) -> None:
    async with serving(rig) as served:
        head = f"POST /api/app/show HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nContent-Type: application/json\r\n"
        announced = f"{head}Content-Length: {MOST_BODY_BYTES + 1}\r\nConnection: close\r\n\r\n".encode()
        assert _status(await speak(served.port, announced)) == 413
        chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (MOST_BODY_BYTES + 1, b"x" * (MOST_BODY_BYTES + 1))
        chunked = f"{head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode() + chunk
        assert _status(await speak(served.port, chunked)) == 413


@pytest.mark.parametrize("origin", ["file://", "http://localhost:5173", "http://127.0.0.1:5173"])
async def test_a_preflight_of_an_allowed_origin_is_answered(rig: Rig, origin: str) -> None:
    async with serving(rig) as served:
        headers = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,x-correlation-id",
            "Access-Control-Request-Private-Network": "true",
        }
        async with served.http.options("/api/ollama/start", headers=headers) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == origin
            assert response.headers["Access-Control-Allow-Private-Network"] == "true"
            methods = set(response.headers["Access-Control-Allow-Methods"].split(", "))
            assert methods >= {"GET", "POST", "PUT", "DELETE", "OPTIONS"}
            allowed = set(response.headers["Access-Control-Allow-Headers"].split(", "))
            assert allowed >= {"Content-Type", "X-Correlation-ID", "Authorization"}
        async with served.http.options(
            "/api/ollama/start", headers=headers | {"Origin": "http://evil.com"}
        ) as response:
            assert response.status == 403
            assert "Access-Control-Allow-Methods" not in response.headers
        assert rig.starts == 0


async def test_with_require_token_every_route_wants_it(rig: Rig) -> None:
    rig.configure(executable=rig.root / "bin" / "ollama", requireToken=True)
    async with serving(rig) as served:
        secret = await asyncio.to_thread(token.read_or_create, rig.paths.run)
        for method, path in EVERYWHERE:
            for headers in ({}, {"X-Aura-Token": "wrong"}, {"Authorization": "Bearer wrong"}):
                headers = {"Content-Type": "application/json", **headers}
                async with served.http.request(method, path, headers=headers) as response:
                    assert response.status == 403
        for headers in ({"X-Aura-Token": secret}, {"Authorization": f"Bearer {secret}"}):
            async with served.http.get("/api/ollama/status", headers=headers) as response:
                assert response.status == 200
        assert rig.starts == 0
    assert (rig.paths.run / "token").stat().st_mode & 0o077 == 0


async def test_the_correlation_id_comes_back_unless_it_is_no_id(rig: Rig) -> None:
    async with serving(rig) as served:
        for path in ("/healthz", "/nowhere"):
            async with served.http.get(path, headers={"X-Correlation-ID": "a1-b2"}) as response:
                assert response.headers["X-Correlation-ID"] == "a1-b2"
            for hostile in ("x" * 200, "a b", "<script>"):
                async with served.http.get(path, headers={"X-Correlation-ID": hostile}) as response:
                    assert len(response.headers["X-Correlation-ID"]) == 32
            async with served.http.get(path) as response:
                assert len(response.headers["X-Correlation-ID"]) == 32


async def test_what_is_not_there_is_a_problem_too(rig: Rig) -> None:
    async with serving(rig) as served:
        async with served.http.get("/nowhere") as response:
            assert (response.status, response.content_type) == (404, "application/problem+json")
            assert (await response.json())["success"] is False
        async with served.http.get("/api/ollama/start") as response:
            assert (response.status, response.headers["Allow"]) == (405, "POST")
