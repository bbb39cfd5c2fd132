"""What a server sends is bounded and never an end, whoever it is."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import time
from collections.abc import Awaitable, Callable, Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.http.pool import MOST_CONNECTIONS
from core.ollama import probe as ollama_probe
from core.ollama.call import BadAnswer, CallFailed, Complaint, HttpStatus
from core.ollama.client import Client
from core.ollama.models import LoadedModel, Model, ModelList, ShownModel
from core.ollama.probe import Answer, Probe
from tests import tied
from tests.core.stranger import NOT_FOUND, ok, stranger

Call = Callable[[Client], Awaitable[object]]
CALLS: dict[str, Call] = {
    "/api/version": lambda client: client.version(5),
    "/api/tags": lambda client: client.tags(5),
    "/api/ps": lambda client: client.loaded(5),
    "/api/generate": lambda client: client.unload("tiny", 5),
    "/api/show": lambda client: client.show("tiny", 5),
    "/api/delete": lambda client: client.delete("tiny", 5),
}
VERSION = ok({"version": "0.9.3"})
OLLAMA = {"/": ok(b"Ollama is running"), "/api/version": VERSION, "/api/tags": ok({"models": []})}
HTML = ok(b"<!doctype html><title>Another program</title>", "Content-Type: text/html")


async def _probe(answers: dict[str, bytes]) -> Probe:
    async with stranger(answers) as server, Client(server.url, is_local=True) as client:
        return await ollama_probe.probe(client)


async def _tags(*rows: object) -> ModelList[Model]:
    async with stranger({"/api/tags": ok({"models": rows})}) as server, Client(server.url, is_local=True) as client:
        return await client.tags(5)


@pytest.mark.parametrize(
    ("answers", "seen"),
    [
        ({**OLLAMA, "/api/tags": NOT_FOUND}, Probe(Answer.OLLAMA, None, "0.9.3")),
        ({**OLLAMA, "/": HTML}, Probe(Answer.OLLAMA, None, "0.9.3")),
        ({**OLLAMA, "/": NOT_FOUND}, Probe(Answer.OLLAMA, None, "0.9.3")),
        ({"/api/version": ok({"version": "0.6.5", "deployment_id": ""})}, Probe(Answer.SOMETHING_ELSE, "HTTP 404")),
        ({"/api/version": VERSION, "/": HTML, "/api/tags": HTML}, Probe(Answer.SOMETHING_ELSE, "Not reachable")),
        ({"/api/version": VERSION, "/api/tags": ok({"data": []})}, Probe(Answer.SOMETHING_ELSE, "Not reachable")),
        ({"/api/version": VERSION, "/api/tags": ok({"models": 3})}, Probe(Answer.SOMETHING_ELSE, "Not reachable")),
        ({**OLLAMA, "/api/version": ok({"version": None})}, Probe(Answer.SOMETHING_ELSE, "Not reachable")),
        ({**OLLAMA, "/api/version": ok({"error": "going down"})}, Probe(Answer.SOMETHING_ELSE, "going down")),
    ],
)
async def test_an_ollama_is_known_by_more_than_a_version(answers: dict[str, bytes], seen: Probe) -> None:
    """Open WebUI has an `/api/version` as well."""
    assert await _probe(answers) == seen


async def test_an_ollama_is_asked_for_one_thing_once_it_is_known() -> None:
    """And anew on each new connection, which may lead to another server."""
    async with stranger(OLLAMA) as server, Client(server.url, is_local=True) as client:
        for _ in range(4):
            assert (await ollama_probe.probe(client)).answer is Answer.OLLAMA
        assert server.paths == ["/api/version", "/", *["/api/version"] * 3]
    other = {"/api/version": ok({"version": "0.6.5"}, "Connection: close")}
    async with stranger(other) as server, Client(server.url, is_local=True) as client:
        for _ in range(2):
            assert (await ollama_probe.probe(client)).answer is Answer.SOMETHING_ELSE
        assert server.paths == ["/api/version", "/", "/api/tags"] * 2


async def test_calls_that_are_left_without_an_answer_hold_no_other_up() -> None:
    """As many as may be under way in the sidecar at once."""
    async with stranger({**OLLAMA, "/api/show": b""}) as server, Client(server.url, is_local=True) as client:
        hanging = [asyncio.create_task(client.show("tiny", 30)) for _ in range(MOST_CONNECTIONS)]
        while server.paths.count("/api/show") < MOST_CONNECTIONS:
            assert not any(task.done() for task in hanging)
            await asyncio.sleep(0)
        assert (await ollama_probe.probe(client)).answer is Answer.OLLAMA
        assert (await client.tags(5)).models == ()
        for task in hanging:
            task.cancel()
        await asyncio.wait(hanging)


@pytest.mark.parametrize("path", CALLS)
async def test_no_call_follows_a_redirect(path: str) -> None:
    async with stranger({path: ok({})}) as elsewhere:
        go = f"HTTP/1.1 307 Go\r\nLocation: {elsewhere.url}{path}\r\nContent-Length: 0\r\n\r\n".encode()
        async with stranger({}, otherwise=go) as server, Client(server.url, is_local=True) as client:
            with pytest.raises(HttpStatus, match="HTTP 307"):
                await CALLS[path](client)
        assert elsewhere.heads == []


@pytest.mark.parametrize("path", CALLS)
async def test_an_error_that_comes_with_success_is_that_error(path: str) -> None:
    answers = {path: ok({"error": "no space left on device"})}
    async with stranger(answers) as server, Client(server.url, is_local=True) as client:
        with pytest.raises(Complaint, match=r"^no space left on device$"):
            await CALLS[path](client)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"error":{"message":"disk gone","type":"api_error"}}', "disk gone"),
        (b'{"error":["no space","left"]}', '["no space","left"]'),
        (b'{"error":5}', "5"),
        (b'{"error":{"code":7}}', '{"code":7}'),
        (rb'{"error":"disk \ud800 gone"}', "disk \ufffd gone"),
        (rb'{"error":"disk \udc00\\ud800 gone"}', r"disk \ufffd\ud800 gone".replace(r"\ufffd", "\ufffd")),
        (b'{"error":"  "}', "It lists no models."),
        (b'{"error":""}', "It lists no models."),
        (b'{"error":false}', "It lists no models."),
        (b"[]", "Its answer is not what an Ollama sends."),
        (b"\xef\xbb\xbf{}", "Its answer is not what an Ollama sends."),
    ],
)
async def test_whatever_an_ollama_says_in_place_of_its_list_is_told(body: bytes, told: str) -> None:
    """And not that it could not be reached: it answered."""
    async with stranger({"/api/tags": ok(body)}) as server, Client(server.url, is_local=True) as client:
        with pytest.raises(CallFailed) as caught:
            await client.tags(5)
    assert ollama_probe.list_error_text(caught.value) == told


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"error":"boom"}', "HTTP 500: boom"),
        (b'{"error":{"message":"boom"}}', "HTTP 500: boom"),
        (rb'{"error":"\ud800"}', "HTTP 500: \ufffd"),
        (b"<html>", "HTTP 500"),
        (b"", "HTTP 500"),
        (b" " * 100_000 + b'{"error":"boom"}', "HTTP 500"),
    ],
)
async def test_a_status_keeps_the_reason_that_comes_with_it(body: bytes, told: str) -> None:
    answer = b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with stranger({}, otherwise=answer) as server, Client(server.url, is_local=True) as client:
        with pytest.raises(HttpStatus) as caught:
            await client.tags(5)
        assert ollama_probe.list_error_text(caught.value) == told
        seen = await ollama_probe.probe(client)
        assert (seen.error, seen.reason) == ("HTTP 500", told), "the status shows what the app knows"


async def test_a_reason_that_does_not_come_holds_up_no_status() -> None:
    answer = b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\n{"
    async with stranger({}, otherwise=answer) as server, Client(server.url, is_local=True) as client:
        with pytest.raises(HttpStatus, match=r"^HTTP 500$"):
            await client.tags(5)


@pytest.mark.parametrize(
    ("name", "is_there"),
    [
        (rb"\ud800", False),
        (rb"a\uDFFF", False),
        (rb"\ud83d\ud83d\ude00", False),
        (rb"\ud83d\ude00", True),
        (rb"\\ud800", True),
    ],
)
async def test_half_a_surrogate_pair_spoils_no_list(name: bytes, is_there: bool) -> None:
    body = b'{"models":[{"name":"%s"},{"name":"b","size":7}]}' % name
    async with stranger({"/api/tags": ok(body)}) as server, Client(server.url, is_local=True) as client:
        found = await client.tags(5)
    assert [model.name for model in found.models][-1] == "b"
    assert (len(found.models), found.left_out) == ((2, 0) if is_there else (1, 1))


async def test_a_long_error_is_cut_and_a_list_of_nothing_is_empty() -> None:
    async with (
        stranger({"/api/tags": ok({"error": "x" * 1000})}) as server,
        Client(server.url, is_local=True) as client,
    ):
        with pytest.raises(Complaint) as caught:
            await client.tags(5)
    assert ollama_probe.error_text(caught.value) == "x" * 200
    async with stranger({"/api/tags": ok({"models": None})}) as server, Client(server.url, is_local=True) as client:
        assert await client.tags(5) == ModelList()


@pytest.mark.parametrize(
    ("row", "model"),
    [
        ({"name": "a", "size": 5, "modified_at": "2025-01-01T00:00:00Z"}, Model("a", 5, "2025-01-01T00:00:00Z")),
        ({"name": "a", "size": None, "modified_at": None}, Model("a")),
        ({"name": "a", "size": 1.5e9}, Model("a", 1_500_000_000)),
        ({"name": "a", "size": 2**63 - 1}, Model("a", 2**63 - 1)),
        ({"name": "a", "size": 2**63}, Model("a", 0)),
        ({"name": "a", "size": -1}, Model("a", 0)),
        ({"name": "a", "size": "5"}, Model("a", 0)),
        ({"name": "a", "size": {"bytes": 5}, "modified_at": 5}, Model("a")),
        ({"name": "a", "modified_at": "x" * 1000}, Model("a", 0, "x" * 64)),
        ({"name": "a", "modified_at": "x\ny"}, Model("a", 0, "x\ufffdy")),
        (
            {"name": "a", "digest": "d", "details": {"family": "f", "parameter_size": "3B", "quantization_level": "Q"}},
            Model("a", digest="d", family="f", parameters="3B", quantization="Q"),
        ),
        ({"name": "a", "digest": 5, "details": []}, Model("a")),
        (
            {"name": "a", "digest": "d" * 81, "details": {"family": None, "parameter_size": 3}},
            Model("a", digest="d" * 80),
        ),
        ({"name": "n" * 256}, Model("n" * 256)),
        ({"name": "n" * 257}, None),
        ({"name": ""}, None),
        ({"name": None}, None),
        ({"name": 5}, None),
        ({"name": "a\nb"}, None),
        ({"name": "\u202eabc"}, None),
        ({"size": 5}, None),
        (None, None),
        ([], None),
        (5, None),
    ],
)
async def test_one_odd_entry_spoils_no_list(row: object, model: Model | None) -> None:
    """What is odd in it is defaulted; one that cannot be called by its name is left out, and counted."""
    good = {"name": "tiny", "size": 7}
    models = (Model("tiny", 7), *([model] if model else []), Model("tiny", 7))
    assert await _tags(good, row, good) == ModelList(models, left_out=0 if model else 1)


@pytest.mark.parametrize(
    ("row", "model"),
    [
        ({"name": "a"}, LoadedModel("a")),
        (
            {"name": "a", "size": 9, "size_vram": 7, "expires_at": "2025-01-01T00:00:00Z", "context_length": 4096},
            LoadedModel("a", 9, 7, "2025-01-01T00:00:00Z", 4096),
        ),
        ({"name": "a", "size_vram": -1, "expires_at": 5, "context_length": "x"}, LoadedModel("a")),
    ],
)
async def test_what_is_in_memory_is_told_as_far_as_it_is_known(row: object, model: LoadedModel) -> None:
    async with stranger({"/api/ps": ok({"models": [row]})}) as server, Client(server.url, is_local=True) as client:
        assert (await client.loaded(5)).models == (model,)


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ({}, ShownModel()),
        (
            {"parameters": "num_ctx 7", "modelfile": "FROM x", "model_info": {"llama.context_length": 2048, "x": []}},
            ShownModel("num_ctx 7", "FROM x", 2048),
        ),
        (
            {"parameters": 5, "modelfile": [], "model_info": {"a.context_length": "x", "b.context_length": 5}},
            ShownModel(context=5),
        ),
        ({"parameters": "p" * 300_000, "model_info": 5}, ShownModel("p" * (256 << 10))),
    ],
)
async def test_what_a_model_is_is_told_as_far_as_it_is_known(answer: object, shown: ShownModel) -> None:
    async with stranger({"/api/show": ok(answer)}) as server, Client(server.url, is_local=True) as client:
        assert await client.show("a", 5) == shown


@pytest.mark.parametrize("size", [b"1" + b"0" * 308, b"9" * 5000, b"1e308", b"-1e308", b"1e400"])
async def test_a_size_of_any_length_is_a_size(size: bytes) -> None:
    body = b'{"models":[{"name":"a","size":%s},{"name":"b","size":7}]}' % size
    async with stranger({"/api/tags": ok(body)}) as server, Client(server.url, is_local=True) as client:
        found = await client.tags(5)
    assert found == ModelList((Model("a", 0), Model("b", 7)))


async def test_a_list_is_cut_to_what_anybody_has(caplog: pytest.LogCaptureFixture) -> None:
    """10,000 installed models and 100 loaded; how many were left out is said, and logged once."""
    rows = ok({"models": [{"name": f"m{number}"} for number in range(150_000)]})
    async with stranger({}, otherwise=rows) as server, Client(server.url, is_local=True) as client:
        installed, loaded = await client.tags(5), await client.loaded(5)
        assert (await client.tags(5), await client.loaded(5)) == (installed, loaded)
    assert (len(installed.models), installed.left_out) == (10_000, 140_000)
    assert (len(loaded.models), loaded.left_out) == (100, 149_900)
    assert [record.args for record in caplog.records] == [("/api/tags", 140_000), ("/api/ps", 149_900)]


async def test_a_version_is_cut_and_an_endless_one_is_none() -> None:
    assert (await _probe({**OLLAMA, "/api/version": ok({"version": "9" * 1000})})).version == "9" * 64
    endless = await _probe({**OLLAMA, "/api/version": ok({"version": "9" * 7_000_000})})
    assert (endless.answer, endless.version) == (Answer.SOMETHING_ELSE, None)


@pytest.mark.parametrize("path", CALLS)
async def test_a_body_without_end_is_not_read_to_the_end(path: str) -> None:
    """9 MB are more than any list of models."""
    body = ok(b'{"models":[' + b" " * 9_000_000 + b"]}")
    async with stranger({path: body}) as server, Client(server.url, is_local=True) as client:
        with pytest.raises(BadAnswer, match="longer than"):
            await CALLS[path](client)


async def test_nothing_is_unpacked() -> None:
    """8 MB of blanks are 8 KB on the wire, and could be 8 GB."""
    packed = ok(gzip.compress(b'{"models":[' + b" " * 8_000_000 + b"]}"), "Content-Encoding: gzip")
    async with stranger({"/api/tags": packed}) as server, Client(server.url, is_local=True) as client:
        with pytest.raises(BadAnswer):
            await client.tags(5)
        assert "accept-encoding: identity" in server.heads[0].lower()


@pytest.mark.parametrize("path", CALLS)
async def test_interim_answers_are_taken_as_long_as_they_are_few(path: str) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    answer = ok({"version": "0.9.3", "models": []})
    async with stranger({path: interim * 3 + answer}) as server, Client(server.url, is_local=True) as client:
        await CALLS[path](client)
    async with stranger({path: interim * 200_000}) as server, Client(server.url, is_local=True) as client:
        with pytest.raises(BadAnswer, match="interim"):
            await CALLS[path](client)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
WORST = {
    "models": ok({"models": [{"name": f"{number:0256}", "size": number, "details": {}} for number in range(25_000)]}),
    "rows": ok(b'{"models":[' + b"{}," * 400_000 + b"{}]}"),
    "numbers": ok(b'{"models":[' + b"0," * 4_000_000 + b"0]}"),
    "brackets": ok(b'{"models":' + b"[" * 8_000_000),
    "escapes": ok(b'{"models":["' + rb"\n" * 3_900_000 + rb'\ud800"]}'),
    "few escapes": ok(b'{"models":["' + rb"\n" * 32_000 + rb'\ud800"]}'),
    "interim": b"HTTP/1.1 103 \r\n\r\n" * 400_000,
    "chunks": CHUNKED + b"1\r\n \r\n" * 1_000_000,
    "extensions": CHUNKED + b"1;a\r\n \r\n" * 1_000_000,
    "an extension": CHUNKED + b"1;" + b"a" * 9_000_000,
    "chunks of 200": CHUNKED + (b"c8\r\n" + b" " * 200 + b"\r\n") * 45_000,
    "trailers": CHUNKED + b"0\r\n" + b"A: b\r\n" * 1_000_000,
    "heads": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1_000_000,
    "answers": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 200_000,
    "a body": b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 9_000_000,
}


@pytest.fixture
def own_garbage() -> Iterator[None]:
    """Have a collection of garbage look at what is made from now on, and not at all that the tests have loaded."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("own_garbage")
@pytest.mark.parametrize("answer", WORST.values(), ids=WORST)
async def test_the_loop_goes_on_whatever_is_sent(answer: bytes) -> None:
    """No turn of the loop takes more than 50 ms of processor time."""
    longest = 0.0

    async def measure() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    async with stranger({}, otherwise=answer) as server, Client(server.url, is_local=True) as client:
        measuring = asyncio.create_task(measure())
        await asyncio.gather(*(client.tags(8) for _ in range(4)), return_exceptions=True)
        measuring.cancel()
    assert longest < tied.seconds(0.05)


@pytest.mark.usefixtures("own_garbage")
@pytest.mark.parametrize("answer", WORST.values(), ids=WORST)
async def test_one_answer_costs_little_whatever_is_sent(answer: bytes) -> None:
    """A third of a second of processor time, though an answer may go on for as long as the call waits."""

    async def cost(url: str) -> float:
        async with Client(url, is_local=True) as client:
            before = time.thread_time()
            with contextlib.suppress(CallFailed):
                await client.tags(8)
            return time.thread_time() - before

    async with stranger({}, otherwise=answer) as server:
        # In a thread of its own, where the stranger's work is not counted.
        assert await asyncio.to_thread(lambda: asyncio.run(cost(server.url))) < tied.seconds(0.33)


async def test_what_servers_send_beside_a_body_is_taken() -> None:
    """Go and nginx send a long answer in chunks of 2 KiB and more; on one connection many answers follow each other."""
    body = msgspec.json.encode(
        {"models": [{"name": f"{number:0200}"} for number in range(10_000)], "x": "y" * 4_000_000}
    )
    parts = [body[at : at + 2048] for at in range(0, len(body), 2048)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    letters = b"".join(b"1\r\n%c\r\n" % letter for letter in b'{"version":"0.9.3"}')
    answers = {"/api/tags": CHUNKED + chunks + b"0\r\n\r\n", "/api/version": CHUNKED + letters + b"0\r\n\r\n"}
    async with stranger(answers) as server, Client(server.url, is_local=True) as client:
        for _ in range(500):
            assert await client.version(5) == "0.9.3"
        for _ in range(2):
            assert len((await client.tags(5)).models) == 10_000
    assert server.connections == 1


@settings(max_examples=60, deadline=None)  # each opens a server
@given(st.binary(max_size=200), st.sampled_from(sorted(CALLS)), st.booleans())
def test_no_answer_is_the_end_of_who_asked(content: bytes, path: str, is_body: bool) -> None:
    async def run() -> None:
        answer = (ok(content) if is_body else content) + b"\r\n\r\nConnection: close"
        async with stranger({path: answer}) as server, Client(server.url, is_local=True) as client:
            with contextlib.suppress(CallFailed):
                await CALLS[path](client)

    asyncio.run(run())
