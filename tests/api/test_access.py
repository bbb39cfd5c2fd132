"""Who is let in and who is not, on every route, over real sockets."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from api.access.checks import MOST_BODY_BYTES
from api.app import build
from api.hooks import HEADLESS, Hooks
from api.routes.table import Routes
from core import token
from core.settings.paths import Paths
from core.sidecar import Sidecar
from core.supervision.state import State
from tests import fake_ollama, tied
from tests.api.serving import Served, serving, speak
from tests.rig import Rig

ROUTES = [(route.method, route.path) for route in Routes(Sidecar(Paths(Path())), HEADLESS).table()]
EVERYWHERE = [*ROUTES, ("GET", "/nowhere"), ("DELETE", "/api/ollama/status"), ("PUT", "/api/ollama/start")]

OPEN = {("GET", "/"), ("GET", "/page/{file}")}
OPEN |= {("GET", path) for path in ("/docs", "/docs/list", "/docs/{file}", "/openapi.json")}
OPEN.add(("POST", "/api/app/token"))
"""The page and its files, which are the same everywhere: whoever opens it is asked for the token there. And the call
that changes a ticket for the token."""

EXPOSED = "X-Correlation-ID, Location, Preference-Applied, Retry-After"
NO_ORIGIN = "Host: 127.0.0.1:{port}\r\n"
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
    "a cross-site image": NO_ORIGIN + "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors",
    "a cross-site link or form": NO_ORIGIN + "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate",
    "a cross-site web socket": NO_ORIGIN + "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: websocket",
    "a mode for one's own site": NO_ORIGIN + "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: same-origin",
    "no mode that there is": NO_ORIGIN + "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors, cors",
    "two modes": NO_ORIGIN + "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Mode: no-cors",
    "two sites": NO_ORIGIN + "Sec-Fetch-Site: same-site\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors",
    "a same-site fetch": NO_ORIGIN + "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors",
    "a foreign origin's fetch": "Host: 127.0.0.1:{port}\r\nOrigin: http://evil.com\r\n"
    "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors",
    "Aura's backend over TLS": "Host: 127.0.0.1:{port}\r\nOrigin: https://127.0.0.1:5005",
    "a name that begins like Aura's backend": "Host: 127.0.0.1:{port}\r\nOrigin: http://localhost:5005.evil.com",
    "Aura's backend as a host": "Host: localhost:5005",
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
    "a desktop page whose browser keeps no origins": NO_ORIGIN + "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors",
    "Aura's own backend's page": NO_ORIGIN + "Origin: http://127.0.0.1:5005\r\nSec-Fetch-Site: cross-site",
    "Aura's own backend's page by name": NO_ORIGIN + "Origin: http://localhost:5005\r\nSec-Fetch-Site: cross-site",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
NO_NAMES_OF_OURS = (
    "localhost:5174",
    "127.1:{port}",
    "0.0.0.0:{port}",
    "[::ffff:127.0.0.1]:{port}",
    "[0:0:0:0:0:0:0:1]:{port}",
    "127.0.0.1:0{port}",
    "127.0.0.1:{port}, evil.com",
    "127.0.0.1:{port}@evil.com",
    "user@127.0.0.1:{port}",
    "xlocalhost:{port}",
)
NO_ORIGINS_OF_OURS = (
    "file:///x",
    "file://evil",
    "file:",
    "https://127.0.0.1:{port}",
    "http://127.0.0.1",
    "http://localhost:{port}.evil.com",
    "http://evil.com:{port}",
    "http://LOCALHOST:5173",
    "http://localhost:5173/",
    "http://localhost:51730",
    "http://localhost:5173 http://evil.com",
    "http://user@localhost:5173",
    "chrome-extension://localhost:5173",
    "undefined",
    "*",
)


@pytest.fixture
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """A data folder with a stand-in that would start at once."""
    root = tmp_path_factory.mktemp("access")
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
        assert _header(answer, "Access-Control-Expose-Headers") == (EXPOSED if expected else None)


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
        async with asyncio.timeout(tied.seconds(2)):
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
        for path in ("/api/ollama/start", "/api/ollama/stop", "/api/ollama/restart", "/api/app/show"):
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
            if (method, path) in OPEN:
                continue
            for headers in ({}, {"X-Aura-Token": "wrong"}, {"Authorization": "Bearer wrong"}):
                headers = {"Content-Type": "application/json", **headers}
                async with served.http.request(method, path, headers=headers) as response:
                    # After many wrong ones the answer is to wait.
                    assert response.status in ({403, 429} if "wrong" in str(headers) else {403})
        for headers in ({"X-Aura-Token": secret}, {"Authorization": f"Bearer {secret}"}):
            async with served.http.get("/api/ollama/status", headers=headers) as response:
                assert response.status == 200
        assert rig.starts == 0
    if sys.platform != "win32":
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


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ("Host: evil.com:{port}", "host_refused"),
        ("Host: 127.0.0.1:{port}\r\nOrigin: http://evil.com", "origin_refused"),
        ("Host: 127.0.0.1:{port}\r\nSec-Fetch-Site: cross-site", "site_refused"),
    ],
)
async def test_no_method_leads_past_the_access_checks_on_any_route_the_application_has(
    rig: Rig, headers: str, code: str
) -> None:
    shown = []

    async def show() -> None:
        shown.append(1)

    async with serving(rig, Hooks(on_show=show)) as served:
        router = build(served.core).router
        paths = {resource.canonical for resource in router.resources()}
        assert paths == {path for _, path in ROUTES}
        for path in (*paths, "/", "/nowhere", "//api/ollama/stop"):
            for method in METHODS:
                answer = await speak(served.port, _request(method, path, headers, served.port))
                assert _status(answer) == 403, (method, path, answer)
                assert _header(answer, "Content-Type") == "application/problem+json"
                if method != "HEAD":
                    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == code
        assert (await served.supervisor.status()).state is State.STOPPED
    assert rig.starts == 0
    assert shown == []


async def test_names_and_origins_that_only_look_like_ours_are_refused(rig: Rig) -> None:
    async with serving(rig) as served:
        lines = [f"Host: {name}" for name in NO_NAMES_OF_OURS]
        lines += [f"Host: 127.0.0.1:{{port}}\r\nOrigin: {origin}" for origin in NO_ORIGINS_OF_OURS]
        lines += [f"Host: localhost:{{port}}\r\nSec-Fetch-Site: {site}" for site in ("CROSS-SITE", "same-sight", "")]
        lines += [
            "Host: localhost:5173\r\nOrigin: http://evil.com",
            "Host: localhost:5173\r\nSec-Fetch-Site: same-site",
            "Host: localhost:{port}\r\nSec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site",
        ]
        for headers in lines:
            answer = await speak(served.port, _request("POST", "/api/ollama/start", headers, served.port))
            assert _status(answer) == 403, (headers, answer)
            assert _header(answer, "Access-Control-Allow-Origin") is None
        assert rig.starts == 0


async def test_a_hostile_stop_leaves_a_running_ollama_alone(rig: Rig) -> None:
    async with serving(rig) as served:
        pid = (await served.supervisor.start()).pid
        for headers in HOSTILE.values():
            answer = await speak(served.port, _request("POST", "/api/ollama/stop", headers, served.port))
            assert _status(answer) in {400, 403}
        status = await served.supervisor.status()
        assert (status.state, status.pid) == (State.RUNNING, pid)


async def test_a_connection_that_was_let_in_once_is_asked_each_time(rig: Rig) -> None:
    """A rebound name reuses the connection that the same browser has."""
    async with serving(rig) as served:
        good = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n\r\n".encode()
        answers = await speak(served.port, good + _request("GET", "/healthz", "Host: evil.com:{port}", served.port))
        statuses = [line for line in answers.split(b"\r\n") if b"HTTP/1.1 " in line]
        assert [b" 200 " in statuses[0], b" 403 " in statuses[1]] == [True, True]


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 2",
        "Transfer-Encoding: chunked",
        "Content-Type: text/plain; application/json\r\nContent-Length: 2",
        "Content-Type: application/x-www-form-urlencoded; x=application/json\r\nContent-Length: 2",
        "Content-Type: application/jsonp\r\nContent-Length: 2",
        "Content-Type: ;;=\r\nContent-Length: 2",
        "Content-Type: text/plain",
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PURGE"])
async def test_what_is_not_said_to_be_json_is_refused_so_that_an_allowed_page_can_read_why(
    rig: Rig, method: str, lines: str
) -> None:
    async with serving(rig) as served:
        headers = "Host: 127.0.0.1:{port}\r\nOrigin: file://\r\n" + lines
        body = b"2\r\n{}\r\n0\r\n\r\n" if "chunked" in lines else b"{}" if "Length" in lines else b""
        answer = await speak(served.port, _request(method, "/api/ollama/start", headers, served.port) + body)
        assert _status(answer) == 415
        assert _header(answer, "Access-Control-Allow-Origin") == "file://"
        assert _header(answer, "Cache-Control") == "no-store"
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "content_type_refused"
        assert rig.starts == 0


async def test_a_body_beyond_the_limit_starts_nothing(rig: Rig) -> None:
    async with serving(rig) as served:
        size = MOST_BODY_BYTES + 1
        head = "Host: 127.0.0.1:{port}\r\nOrigin: file://\r\nContent-Type: application/json\r\n"
        for framing, body in (
            (f"Content-Length: {size}", b""),
            ("Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (size, b" " * size)),
        ):
            request = _request("POST", "/api/ollama/start", head + framing, served.port)
            answer = await speak(served.port, request + body)
            assert _status(answer) == 413
            assert _header(answer, "Access-Control-Allow-Origin") == "file://"
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 413
        assert rig.starts == 0


async def test_a_preflight_needs_no_token_and_gets_no_more_than_it_asks_for(rig: Rig) -> None:
    """A browser cannot put the token into a preflight."""
    rig.configure(executable=rig.root / "bin" / "ollama", requireToken=True)
    asks = "Origin: file://\r\nAccess-Control-Request-Method: POST"
    async with serving(rig) as served:
        for path in ("/api/ollama/start", "/nowhere"):
            answer = await speak(
                served.port, _request("OPTIONS", path, f"Host: 127.0.0.1:{{port}}\r\n{asks}", served.port)
            )
            assert _status(answer) == 204
            assert _header(answer, "Access-Control-Allow-Private-Network") is None
            assert _header(answer, "Access-Control-Allow-Credentials") is None
            assert _header(answer, "Vary") == "Origin"
            assert _header(answer, "Cache-Control") == "no-store"
        for line in (
            "Host: evil.com:{port}\r\n" + asks,
            "Host: 127.0.0.1:{port}\r\n" + asks.replace("file://", "null"),
        ):
            answer = await speak(served.port, _request("OPTIONS", "/api/ollama/start", line, served.port))
            assert _status(answer) == 403
            assert _header(answer, "Access-Control-Allow-Methods") is None
        no_preflight = "Host: 127.0.0.1:{port}\r\nOrigin: file://"
        assert _status(await speak(served.port, _request("OPTIONS", "/healthz", no_preflight, served.port))) == 403


async def test_an_origin_taken_out_of_the_settings_is_refused_again(rig: Rig) -> None:
    origin = {"Origin": "https://studio.example"}
    rig.configure(executable=rig.root / "bin" / "ollama", allowedOrigins=[origin["Origin"]])
    async with serving(rig) as served:
        # They may not have been read yet, and until then no page is let in.
        async with asyncio.timeout(tied.seconds(2)):
            while await _status_of(served, origin) != 200:
                await asyncio.sleep(0.01)
        rig.configure(executable=rig.root / "bin" / "ollama", allowedOrigins=[])
        async with asyncio.timeout(tied.seconds(2)):
            while await _status_of(served, origin) != 403:
                await asyncio.sleep(0.01)


async def test_every_answer_stays_out_of_caches_and_bears_an_id_that_an_allowed_page_can_read(rig: Rig) -> None:
    async with serving(rig) as served:
        for method, path, status in (
            ("GET", "/healthz", 200),
            ("GET", "/nowhere", 404),
            ("PUT", "/healthz", 405),
            ("GET", "/api/ollama/logs?maxLines=0", 400),
            ("POST", "/api/ollama/stop", 409),
        ):
            headers = {"Origin": "http://localhost:5173", "X-Correlation-ID": "7-a", "Content-Type": "application/json"}
            async with served.http.request(method, path, headers=headers) as response:
                assert response.status == status
                assert response.headers["Cache-Control"] == "no-store"
                assert response.headers["X-Correlation-ID"] == "7-a"
                assert response.headers["Access-Control-Allow-Origin"] == headers["Origin"]
                assert response.headers["Access-Control-Expose-Headers"] == EXPOSED
                assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("header", ["X-Aura-Token: ", "Authorization: Bearer "])
async def test_a_token_of_any_bytes_is_a_wrong_token(rig: Rig, header: str) -> None:
    rig.configure(executable=rig.root / "bin" / "ollama", requireToken=True)
    async with serving(rig) as served:
        request = _request("GET", "/healthz", "Host: 127.0.0.1:{port}\r\n" + header + "@", served.port)
        answer = await speak(served.port, request.replace(b"@", b"\xff\xc3"))
        assert _status(answer) == 403
        assert _header(answer, "Content-Type") == "application/problem+json"


async def test_a_body_that_cannot_be_unpacked_is_the_callers_fault(rig: Rig) -> None:
    async with serving(rig) as served:
        lines = (
            "Host: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 2"
        )
        answer = await speak(served.port, _request("POST", "/api/ollama/start", lines, served.port) + b"{}")
        assert _status(answer) == 400
        assert rig.starts == 0


async def test_a_page_without_an_origin_may_ask_whether_it_may_bring_the_token(rig: Rig) -> None:
    """A browser asks before it sends the token, and sends it only if the answer allows that."""
    here = "Host: 127.0.0.1:{port}\r\nOrigin: null\r\n"
    asks = here + "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: "
    async with serving(rig) as served:
        for names, status in (("content-type, X-Aura-Token", 204), ("authorization", 204), ("content-type", 403)):
            answer = await speak(served.port, _request("OPTIONS", "/api/ollama/start", asks + names, served.port))
            assert _status(answer) == status
            assert _header(answer, "Access-Control-Allow-Origin") == ("null" if status == 204 else None)
        # The announcement alone opens nothing.
        wrong = here + "X-Aura-Token: wrong\r\nAccess-Control-Request-Headers: x-aura-token"
        assert _status(await speak(served.port, _request("POST", "/api/ollama/start", wrong, served.port))) == 403
        assert rig.starts == 0
