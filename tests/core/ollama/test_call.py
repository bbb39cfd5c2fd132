"""How a server is reached: by a proxy, with a login, by a name; and that what prevents it is told, not raised."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from core.endpoint import Endpoint
from core.ollama import probe as ollama_probe
from core.ollama.call import CallFailed, NotConnected
from core.ollama.client import Client
from core.ollama.probe import Answer, Probe
from core.ollama.resolver import Resolver
from core.supervision.state import State
from tests import tied
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.wire import free_port
from tests.core.stranger import Stranger, ok, stranger
from tests.rig import DEADLINE, Rig, until_state

REMOTE = "http://ollama.example:11434"
OLLAMA = {"/": ok(b"Ollama is running"), "/api/version": ok({"version": "0.9.3"}), "/api/tags": ok({"models": []})}
BAD_PROXIES = [
    "http://user:hunter2#@127.0.0.1:9",
    "http://user:hunter2[@127.0.0.1:9",
    "http://user:hunter2@127.0.0.1:99999",
    "http://127.0.0.1:x",
    "http://",
    "://",
    "socks5://user:hunter2@127.0.0.1:9",
    "user:hunter2@:9",
    "127.0.0.1:99999",
]


async def _remote(url: str = REMOTE) -> Probe:
    async with Client(url, is_local=False) as client:
        return await ollama_probe.probe(client)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test sets is in force."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("proxy", BAD_PROXIES)
async def test_a_proxy_that_is_no_url_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    seen = await _remote()
    assert (seen.answer, seen.error) == (Answer.NOBODY, "Not reachable")
    assert seen.reason
    assert "http_proxy" in seen.reason
    assert "hunter" not in seen.reason


@pytest.mark.parametrize("proxy", BAD_PROXIES)
async def test_a_proxy_that_is_no_url_ends_no_supervision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, proxy: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    rig = Rig(tmp_path, "/usr/bin/ollama")
    rig.url = REMOTE
    rig.configure()
    async with rig.supervising() as supervisor:
        assert (await supervisor.status()).error == "Not reachable"


@pytest.mark.parametrize("scheme", ["", "http://"])
async def test_another_machine_is_asked_through_the_proxy(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """Also if the variable leaves the scheme out, as curl allows."""
    async with stranger({f"{REMOTE}{path}": answer for path, answer in OLLAMA.items()}) as proxy:
        monkeypatch.setenv("http_proxy", f"{scheme}127.0.0.1:{proxy.port}")
        assert await _remote() == Probe(Answer.OLLAMA, None, "0.9.3")
        assert proxy.paths == [f"{REMOTE}/api/version", f"{REMOTE}/"]


async def test_no_proxy_is_asked_for_what_it_shall_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stranger(OLLAMA) as server, stranger({}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        async with Client(server.url, is_local=True) as client:
            assert (await ollama_probe.probe(client)).answer is Answer.OLLAMA
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert (await _remote(server.url)).answer is Answer.OLLAMA
        assert proxy.heads == []


@pytest.mark.parametrize(
    ("login", "sent"),
    [
        ("us%3Aer:pass", "us:er:pass"),
        ("user:p%40ss", "user:p@ss"),
        ("user", "user:"),
        ("Пользователь:пароль", "Пользователь:пароль"),
    ],
)
async def test_any_login_of_a_proxy_is_sent_as_curl_sends_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, login: str, sent: str
) -> None:
    async with stranger({f"{REMOTE}{path}": answer for path, answer in OLLAMA.items()}) as proxy:
        monkeypatch.setenv("http_proxy", f"http://{login}@127.0.0.1:{proxy.port}")
        assert await _remote() == Probe(Answer.OLLAMA, None, "0.9.3")
    heads = [line for line in proxy.heads[0].split("\r\n") if line.startswith("Proxy-Authorization: Basic ")]
    assert [base64.b64decode(line.rpartition(" ")[2]).decode() for line in heads] == [sent]
    assert caplog.records == []


async def test_a_tunnel_is_asked_for_with_the_login_and_the_server_never_sees_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with stranger({}) as proxy:
        monkeypatch.setenv("https_proxy", f"http://us%3Aer:pass@127.0.0.1:{proxy.port}")
        assert (await _remote("https://ollama.example")).error == "HTTP 404"
    assert proxy.heads[0].startswith("CONNECT ollama.example:443 ")
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'us:er:pass').decode()}" in proxy.heads[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_what_keeps_us_from_connecting_is_told_in_the_systems_words(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Not in those of a library: "Multiple exceptions: [Errno 111] Connect call failed ('::1', …)"."""
    port = free_port()
    monkeypatch.setenv("http_proxy", f"http://{host}:{port}")
    async with Client(f"http://{host}:{port}", is_local=True) as client:
        reasons = [(await _remote()).reason, (await ollama_probe.probe(client)).reason]
    for reason in reasons:
        assert reason
        assert not re.search(r"Errno|Connect call|exception|[('\"]", reason), reason
    assert f"The proxy at {host}:{port} cannot be reached: " in f"{reasons[0]}"


async def test_a_proxy_that_is_not_there_is_named_as_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("http_proxy", f"http://user:hunter2@127.0.0.1:{port}")
    seen = await _remote()
    assert (seen.answer, seen.error) == (Answer.NOBODY, "Not reachable")
    assert f"The proxy at 127.0.0.1:{port} cannot be reached" in f"{seen.reason}"
    assert "hunter" not in f"{seen.reason}"


async def test_a_name_that_nobody_knows_is_named_as_the_cause() -> None:
    seen = await _remote("http://nobody.invalid:11434")
    assert (seen.answer, seen.error) == (Answer.NOBODY, "Not reachable")
    assert seen.reason == "The name nobody.invalid is not known."


def _authorizations(server: Stranger) -> set[str | None]:
    found = set()
    for head in server.heads:
        lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        sent = lines.get("Authorization", "")
        found.add(base64.b64decode(sent.removeprefix("Basic ")).decode() if sent else None)
    return found


async def test_a_login_is_sent_with_every_call_and_shown_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    answers = OLLAMA | {"/api/ps": ok({"models": []}), "/api/generate": ok({})}
    async with stranger(answers) as server:
        rig = Rig(tmp_path, "/usr/bin/ollama")
        rig.url = f"http://m%C3%BCller:hunter%2F2@127.0.0.1:{server.port}"
        rig.configure()
        async with rig.supervising() as supervisor:
            await until_state(supervisor, State.EXTERNAL)
            status = await supervisor.status()
            assert status.url == server.url
            await (await supervisor.client()).unload("tiny", 5)
            assert _authorizations(server) == {"müller:hunter/2"}
            assert "/api/generate" in server.paths
            rig.url = server.url
            rig.configure()
            server.heads.clear()
            async with asyncio.timeout(DEADLINE):
                while None not in _authorizations(server):
                    await supervisor.status()
                    await asyncio.sleep(0.01)
            server.heads.clear()
            await (await supervisor.client()).unload("tiny", 5)
            assert _authorizations(server) == {None}
    shown = f"{status!r}{caplog.text}{json.dumps(server.paths)}"
    assert "hunter" not in shown
    assert base64.b64encode("müller:hunter/2".encode()).decode() not in shown


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_wildcard_is_asked_wherever_it_answers(address: str) -> None:
    """An Ollama that listens at `[::]` has IPv4 alone on a machine without IPv6."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as holder:
        endpoint = Endpoint.parse(f"http://[::]:{holder.getsockname()[1]}")
        async with Client(endpoint.base_url, is_local=endpoint.is_local) as client:
            with pytest.raises(CallFailed) as caught:
                await client.version(0.3)
    assert not isinstance(caught.value, NotConnected)


@tied.linux("a network of one's own")
def test_an_ollama_for_all_addresses_starts_where_there_is_no_ipv6(tmp_path: Path) -> None:
    bed = require(ollama)
    if not os.access("/proc/sys/net/ipv6/conf/all/disable_ipv6", os.W_OK):
        pytest.skip("needs root, and an IPv6 to switch off")
    program = [sys.executable, "-m", "tests.core.ollama.without_ipv6", str(tmp_path), str(bed.executable)]
    done = subprocess.run(["unshare", "--net", *program], capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout.split() == ["running", "stopped"], done.stderr


async def test_a_name_server_that_hangs_holds_up_only_who_waits_for_it() -> None:
    """One thread a name, none of the executor's, and none that the program's end waits for."""
    asked: list[str] = []
    answered = threading.Event()

    def hang(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        answered.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]

    resolver = Resolver(hang)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(resolver.resolve("gpu-box", 1), 0.05)
    assert asked == ["gpu-box"]
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "resolver"] == [True]
    assert [found["host"] for found in await resolver.resolve("localhost", 1, socket.AF_UNSPEC)] == ["127.0.0.1", "::1"]
    waiting = asyncio.create_task(resolver.resolve("gpu-box", 1))
    answered.set()
    assert [found["host"] for found in await waiting] == ["192.0.2.1"]
