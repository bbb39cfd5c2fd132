"""Requests of shapes that two readers read as two things: each is refused, or read as exactly one request."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from pathlib import Path

import pytest

from core.supervision.state import State
from tests import fake_ollama
from tests.api.serving import serving, speak
from tests.rig import Rig

START = "POST /api/ollama/start HTTP/1.1"
HOST = "Host: 127.0.0.1:{port}"
KIND = "Content-Type: application/json"
SMUGGLED = "POST /api/ollama/start HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\n\r\n"
GET = "GET /healthz HTTP/1.1"


def shape(*lines: str, body: str = "") -> str:
    """One request; `{port}` stands for the sidecar's."""
    return "\r\n".join([*lines, "", body])


# Each hides a start behind, or inside, a harmless first request.
SMUGGLING = {
    "length and chunks": shape(
        GET, HOST, "Content-Length: 4", "Transfer-Encoding: chunked", body="0\r\n\r\n" + SMUGGLED
    ),
    "chunks and length": shape(
        GET, HOST, "Transfer-Encoding: chunked", "Content-Length: 4", body="0\r\n\r\n" + SMUGGLED
    ),
    "two lengths": shape(GET, HOST, "Content-Length: 0", "Content-Length: {size}", body=SMUGGLED),
    "two lengths the other way": shape(GET, HOST, "Content-Length: {size}", "Content-Length: 0", body=SMUGGLED),
    "a list of lengths": shape(GET, HOST, "Content-Length: 0, {size}", body=SMUGGLED),
    "a negative length": shape(GET, HOST, "Content-Length: -1", body=SMUGGLED),
    "a signed length": shape(GET, HOST, "Content-Length: +0", body=SMUGGLED),
    "a length in hex": shape(GET, HOST, "Content-Length: 0x0", body=SMUGGLED),
    "a length with an underscore": shape(GET, HOST, "Content-Length: 1_0", body=SMUGGLED),
    "an endless length": shape(GET, HOST, "Content-Length: " + "9" * 40, body=SMUGGLED),
    "a length with a space before the colon": shape(GET, HOST, "Content-Length : {size}", body=SMUGGLED),
    "a folded length": shape(GET, HOST, "Content-Length:\r\n {size}", body=SMUGGLED),
    "a folded header": shape(GET, HOST, "X: y\r\n Content-Length: {size}", body=SMUGGLED),
    "a first line that is folded": shape(GET, " X: y", HOST, body=SMUGGLED),
    "a bare LF": shape(GET, HOST + "\nContent-Length: {size}", body=SMUGGLED),
    "bare LFs only": shape(GET, HOST, body=SMUGGLED).replace("\r\n", "\n"),
    "a bare CR": shape(GET, HOST + "\rContent-Length: {size}", body=SMUGGLED),
    "a NUL in a name": shape(GET, HOST, "Content-\0Length: {size}", body=SMUGGLED),
    "a NUL in a value": shape(GET, HOST, "X: \0", body=SMUGGLED),
    "another coding": shape(GET, HOST, "Transfer-Encoding: xchunked", body=SMUGGLED),
    "a coding with a tab": shape(GET, HOST, "Transfer-Encoding:\tchunked", body="0\r\n\r\n" + SMUGGLED),
    "a coding with a vertical tab": shape(GET, HOST, "Transfer-Encoding: \x0bchunked", body="0\r\n\r\n" + SMUGGLED),
    "chunked, then another": shape(GET, HOST, "Transfer-Encoding: chunked, identity", body="0\r\n\r\n" + SMUGGLED),
    "another, then chunked": shape(GET, HOST, "Transfer-Encoding: identity, chunked", body="0\r\n\r\n" + SMUGGLED),
    "two codings": shape(
        GET, HOST, "Transfer-Encoding: chunked", "Transfer-Encoding: identity", body="0\r\n\r\n" + SMUGGLED
    ),
    "a coding in quotes": shape(GET, HOST, 'Transfer-Encoding: "chunked"', body="0\r\n\r\n" + SMUGGLED),
    "a coding for HTTP/1.0": shape(
        GET.replace("1.1", "1.0"), HOST, "Transfer-Encoding: chunked", body="0\r\n\r\n" + SMUGGLED
    ),
    "a chunk extension": shape(GET, HOST, "Transfer-Encoding: chunked", body="0;x=y\r\n\r\n" + SMUGGLED),
    "a chunk extension with a line feed": shape(
        GET, HOST, "Transfer-Encoding: chunked", body="1;\nxx\r\n0\r\n\r\n" + SMUGGLED
    ),
    "a signed chunk": shape(GET, HOST, "Transfer-Encoding: chunked", body="+0\r\n\r\n" + SMUGGLED),
    "a chunk with an underscore": shape(GET, HOST, "Transfer-Encoding: chunked", body="0_0\r\n\r\n" + SMUGGLED),
    "a chunk without its end": shape(GET, HOST, "Transfer-Encoding: chunked", body="1\r\nxyz0\r\n\r\n" + SMUGGLED),
    "a trailer that is a length": shape(
        GET, HOST, "Transfer-Encoding: chunked", body="0\r\nContent-Length: 9\r\n\r\n" + SMUGGLED
    ),
    "no version": shape("GET /healthz", HOST, body=SMUGGLED),
    "another version": shape("GET /healthz HTTP/9.9", HOST, body=SMUGGLED),
    "the second version": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED,
    "a word too many": shape("GET /healthz HTTP/1.1 HTTP/1.1", HOST, body=SMUGGLED),
    "a space in the target": shape("GET /health z HTTP/1.1", HOST, body=SMUGGLED),
    "a tunnel": shape("CONNECT 127.0.0.1:{port} HTTP/1.1", HOST, body=SMUGGLED),
    "an upgrade": shape(GET, HOST, "Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk", body=SMUGGLED),
}
ONE_BY_ONE = ("a coding with a tab", "another, then chunked", "a chunk extension", "a tunnel")
"""Of these every reader sees the same end, so that what follows is a request of its own, as pipelining allows."""
LAST = shape(GET, HOST, "Connection: close")


def fill(text: str, port: int) -> bytes:
    """The bytes of a shape."""
    smuggled = SMUGGLED.replace("{port}", str(port))
    return text.replace("{port}", str(port)).replace("{size}", str(len(smuggled))).encode("latin-1")


def statuses(answers: bytes) -> list[int]:
    """The status of each answer on a connection."""
    return [int(found) for found in re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", answers)]


def problem_of(answer: bytes) -> dict[str, object]:
    """The problem that an answer is, with the headers that every answer of ours bears."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    assert headers["content-type"] == "application/problem+json", answer
    assert headers["cache-control"] == "no-store"
    assert headers["server"] == "aura-ollama"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-correlation-id"]
    problem: dict[str, object] = json.loads(body)
    assert problem["success"] is False
    assert statuses(answer) == [problem["status"]]
    return problem


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A stand-in that would start at once."""
    return Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))


async def test_no_shape_hides_a_request(rig: Rig) -> None:
    """What hides would have started Ollama. A refusal ends the connection, so that nothing after it is read."""
    async with serving(rig) as served:
        for name in SMUGGLING.keys() - ONE_BY_ONE:
            answers = await speak(served.port, fill(SMUGGLING[name] + LAST, served.port), within=1.0)
            found = statuses(answers)
            assert found in ([400], [200]), (name, answers)
            assert (found == [200]) == (name == "an upgrade"), (name, answers)
            assert rig.starts == 0, name
        assert (await served.supervisor.status()).state is State.STOPPED


@pytest.mark.parametrize("name", ONE_BY_ONE)
async def test_a_second_request_is_asked_as_the_first_is(rig: Rig, name: str) -> None:
    async with serving(rig) as served:
        foreign = SMUGGLING[name].replace(START, f"{START}\r\nOrigin: http://evil.com") + LAST
        answers = await speak(served.port, fill(foreign, served.port))
        assert statuses(answers) == [403 if name == "a tunnel" else 200, 403, 200]
        assert rig.starts == 0


async def test_what_the_parser_refuses_is_a_problem_like_any_other(rig: Rig) -> None:
    async with serving(rig) as served:
        for text in (
            shape(GET, "X: y"),
            shape(GET, HOST, HOST),
            shape("BREW /healthz HTTP/1.1", HOST),
            shape(GET, HOST, "Content-Length: x"),
            shape(GET, HOST, "X: " + "y" * 20_000),
            shape("GET /" + "x" * 20_000 + " HTTP/1.1", HOST),
            shape(GET, HOST, *(f"X-{number}: y" for number in range(500))),
            "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        ):
            problem = problem_of(await speak(served.port, fill(text, served.port)))
            assert problem["status"] in {400, 403}, text[:80]
            assert "yyyy" not in str(problem)
        async with served.http.get("/healthz") as response:
            assert response.status == 200


async def test_an_address_that_is_too_long_is_told_as_that(rig: Rig) -> None:
    """Such as that of a model whose name is a book. A long header is told without what it holds."""
    async with serving(rig) as served:
        for method, path in (("GET", "jobs/{}"), ("POST", "models/{}/pull"), ("DELETE", "models/{}")):
            async with served.http.request(method, f"/api/ollama/{path.format('x' * 65_536)}") as response:
                body = await response.json()
                assert (response.status, body["code"]) == (400, "bad_request")
                assert "longer than 8190 bytes" in body["message"]
                assert "Shorten the name" in body["action"]
                assert "xxxx" not in str(body)


KNOWN_AND_UNKNOWN = (GET, START, "GET /nowhere HTTP/1.1", "PUT /healthz HTTP/1.1", "OPTIONS /healthz HTTP/1.1")
CLOSE = "Connection: close"


@pytest.mark.parametrize("first", KNOWN_AND_UNKNOWN)
@pytest.mark.parametrize("wanted", ["tea", "100-continue, tea", "100-continue\r\nExpect: tea", "\xff"])
async def test_what_cannot_be_expected_is_refused_by_the_access_checks_first_and_then_as_a_problem(
    rig: Rig, first: str, wanted: str
) -> None:
    async with serving(rig) as served:
        for host, status, code in (("Host: evil.com", 403, "host_refused"), (HOST, 417, "expectation_failed")):
            request = shape(first, host, f"Expect: {wanted}", CLOSE)
            problem = problem_of(await speak(served.port, fill(request, served.port)))
            assert (problem["status"], problem["code"]) == (status, code)
        assert rig.starts == 0


async def test_nobody_is_told_to_go_on_before_the_access_checks_have_let_the_request_in(rig: Rig) -> None:
    """No route of today reads a body, but each waits for it, so that nothing is done for half a request."""
    asks = ("Content-Length: 2", "Expect: 100-continue", CLOSE)
    async with serving(rig) as served:
        refused = fill(shape(START, HOST, KIND, "Origin: http://evil.com", *asks), served.port)
        assert statuses(await speak(served.port, refused)) == [403]
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        try:
            writer.write(fill(shape(START, HOST, KIND, *asks), served.port))
            assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert rig.starts == 0
            writer.write(b"{}")
            assert statuses(await asyncio.wait_for(reader.read(), 8)) == [200]
            assert rig.starts == 1
        finally:
            writer.close()
            await writer.wait_closed()


async def test_whoever_leaves_in_the_midst_of_its_body_starts_nothing_and_is_no_fault_of_ours(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "api.app")
    async with serving(rig) as served:
        for length in ("Content-Length: 20", "Transfer-Encoding: chunked"):
            caplog.clear()
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(fill(shape(START, HOST, KIND, "Expect: 100-continue", length, body="1\r\n"), served.port))
            # By then it is being waited for.
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            writer.close()
            await writer.wait_closed()
            async with asyncio.timeout(5):
                while not (told := [record for record in caplog.records if record.name == "api.app"]):
                    await asyncio.sleep(0.01)
            (record,) = told
            assert (record.levelname, " 400 " in record.getMessage()) == ("INFO", True)
        assert rig.starts == 0


async def test_who_has_no_body_to_send_or_speaks_http_1_0_is_just_answered(rig: Rig) -> None:
    async with serving(rig) as served:
        for first, wanted in ((GET, "100-continue"), (GET, ""), (GET.replace("1.1", "1.0"), "tea")):
            request = fill(shape(first, HOST, f"Expect: {wanted}", CLOSE), served.port)
            assert statuses(await speak(served.port, request)) == [200]


@pytest.mark.parametrize("path", ["/api/ollama/status", "/api/ollama/logs", "/healthz", "/nowhere"])
async def test_no_connection_becomes_a_web_socket(rig: Rig, path: str) -> None:
    """A browser lets any page open one, and sends no preflight."""
    lines = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    async with serving(rig) as served:
        for origin, status in (("Origin: http://evil.com", 403), ("Sec-Fetch-Site: cross-site", 403), ("X: y", None)):
            request = fill(shape(f"GET {path} HTTP/1.1", HOST, origin, *lines), served.port)
            (found,) = statuses(await speak(served.port, request, within=0.5))
            assert found in ({status} if status else {200, 404})
