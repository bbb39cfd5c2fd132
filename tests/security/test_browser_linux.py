"""What the pages of a real browser reach: Aura's desktop pages, and any other page that a user happens to visit."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from core.logs.tail import tail
from core.supervision.state import State
from tests import fake_ollama
from tests.api.serving import serving
from tests.beds.browser import KEEPS_NO_ORIGINS, browsing
from tests.beds.require import require
from tests.beds.wire import free_port
from tests.rig import Rig

DEADLINE = 30.0
# A browser starts, on two busy cores.
pytestmark = pytest.mark.timeout(DEADLINE + 15)

# As the client of the Aura app calls: JSON, with a correlation id.
DESKTOP_PAGE = """<script>
const headers = {"Content-Type": "application/json", "X-Correlation-ID": "a-1"};
async function call(method, path) {
    try {
        const response = await fetch("SIDECAR/api/ollama/" + path, {method, headers});
        return [response.status, await response.json()];
    } catch (error) {
        return [0, String(error)];
    }
}
async function run() {
    const told = {status: await call("GET", "status"), start: await call("POST", "start"),
                  logs: await call("GET", "logs"), stop: await call("POST", "stop")};
    await fetch("TOLD", {method: "POST", mode: "no-cors", body: JSON.stringify(told)});
}
run();
</script>"""

# Everything that a page may have its browser send to another server. Each has a path of its own, to be told apart.
FOREIGN_PAGE = """<body><script>
const start = "SIDECAR/api/ollama/start";
const settled = (ask) => ask.then((response) => response.type + " " + response.status, (error) => error.name);
const loaded = (tag, property, url) => new Promise((resolve) => {
    const element = document.createElement(tag);
    element.onload = element.onerror = () => resolve("asked");
    if (tag === "link") element.rel = "stylesheet";
    element[property] = url;
    document.body.append(element);
});
const opened = (url) => new Promise((resolve) => {
    const source = new EventSource(url);
    source.onopen = () => resolve("open");
    source.onerror = () => resolve(source.readyState === EventSource.CLOSED ? "refused" : "tries again");
});
function sent(url) {
    const frame = document.createElement("iframe");
    frame.name = "target";
    const form = document.createElement("form");
    Object.assign(form, {method: "POST", action: url, target: "target"});
    const answered = new Promise((resolve) => { frame.onload = () => resolve("asked"); });
    document.body.append(frame, form);
    form.submit();
    return answered;
}
async function run() {
    const json = {method: "POST", headers: {"Content-Type": "application/json"}};
    const told = {
        read: await settled(fetch("SIDECAR/api/ollama/status")),
        json: await settled(fetch(start, json)),
        simple: await settled(fetch(start, {method: "POST"})),
        silent: await settled(fetch(start, {method: "POST", mode: "no-cors"})),
        form: await sent(start),
        image: await loaded("img", "src", "SIDECAR/api/ollama/status?image"),
        script: await loaded("script", "src", "SIDECAR/api/ollama/status?script"),
        style: await loaded("link", "href", "SIDECAR/api/ollama/status?style"),
        frame: await loaded("iframe", "src", "SIDECAR/api/ollama/status?frame"),
        events: await opened("SIDECAR/api/ollama/events"),
        log: await opened("SIDECAR/api/ollama/logs/stream"),
        beacon: String(navigator.sendBeacon(start)),
    };
    await fetch("TOLD", {method: "POST", mode: "no-cors", body: JSON.stringify(told)});
}
run();
</script></body>"""


# Tells all that it has heard each time that it hears something, one after the other.
STREAM_PAGE = """<script>
const told = {states: [], gaps: 0, lines: []};
let telling = Promise.resolve();
function tell() {
    telling = telling.then(() => fetch("TOLD", {method: "POST", mode: "no-cors", body: JSON.stringify(told)}));
}
const events = new EventSource("SIDECAR/api/ollama/events?types=status");
events.addEventListener("status", (event) => { told.states.push(JSON.parse(event.data).state); tell(); });
events.addEventListener("gap", () => { told.gaps += 1; tell(); });
const log = new EventSource("SIDECAR/api/ollama/logs/stream?from=1");
log.onmessage = (event) => { told.lines.push(event.data); tell(); };
</script>"""


class Teller:
    """A web server on loopback that serves one page, and is told by it what became of its calls."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.page = ""
        self.told: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()
        self.last: dict[str, object] = {}
        self._heard = asyncio.Event()

    async def show(self, request: web.Request) -> web.Response:
        """The page."""
        return web.Response(text=self.page, content_type="text/html")

    async def hear(self, request: web.Request) -> web.Response:
        """What the page tells."""
        self.last = json.loads(await request.text())
        self._heard.set()
        if not self.told.done():
            self.told.set_result(self.last)
        return web.Response()

    def write(self, page: str, sidecar: str) -> str:
        """The page with both servers' addresses in it."""
        self.page = page.replace("SIDECAR", sidecar).replace("TOLD", f"http://127.0.0.1:{self.port}/told")
        return self.page

    async def hear_out(self) -> dict[str, object]:
        """What the page told, within 30 s."""
        async with asyncio.timeout(DEADLINE):
            return await self.told

    async def hear_until(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first of all that the page tells that fits, within 30 s."""
        async with asyncio.timeout(DEADLINE):
            while not fits(self.last):
                self._heard.clear()
                await self._heard.wait()
        return self.last


@asynccontextmanager
async def teller() -> AsyncIterator[Teller]:
    """One such server, on a free port."""
    app = web.Application()
    runner = web.AppRunner(app)
    server = Teller(0)
    app.add_routes([web.get("/", server.show), web.post("/told", server.hear)])
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.port = runner.addresses[0][1]
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def showing(url: str, profile: Path, *flags: str) -> AsyncIterator[None]:
    """The page in a browser, without holding the loop while it begins and ends."""
    browser = browsing(url, profile, *flags)
    await asyncio.to_thread(require, browser.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(browser.__exit__, None, None, None)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A stand-in that would start at once."""
    return Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))


async def test_a_desktop_page_whose_browser_keeps_no_origins_may_call(rig: Rig, tmp_path: Path) -> None:
    """It sends no Origin, also with what changes something, as the packaged Aura app's pages do."""
    page = tmp_path / "index.html"
    async with serving(rig) as served, teller() as server:
        page.write_text(server.write(DESKTOP_PAGE, served.url))
        async with showing(page.as_uri(), tmp_path / "profile", KEEPS_NO_ORIGINS):
            told = await server.hear_out()
    assert {name: answer[0] for name, answer in told.items()} == dict.fromkeys(("status", "start", "logs", "stop"), 200)  # type: ignore[index]
    assert rig.starts == 1


@pytest.mark.parametrize("kind", ["a page of an allowed origin", "a desktop page"])
async def test_an_event_source_reads_streams_and_comes_back_to_where_it_was(
    rig: Rig, tmp_path: Path, kind: str
) -> None:
    """Also when the sidecar has been another one meanwhile: no line of the log is missing, and none comes twice."""
    port = free_port()
    rig.paths.logs.mkdir(parents=True)
    log = rig.paths.logs / "ollama-20240101-000000.log"
    log.write_text("old\n0\n")
    page = tmp_path / "index.html"
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(teller())
        page.write_text(server.write(STREAM_PAGE, f"http://127.0.0.1:{port}"))
        origin = f"http://localhost:{server.port}"
        rig.configure(allowedOrigins=[origin])
        async with serving(rig, port=port) as served:
            url, flags = (page.as_uri(), [KEEPS_NO_ORIGINS]) if kind == "a desktop page" else (f"{origin}/", [])
            await stack.enter_async_context(showing(url, tmp_path / "profile", *flags))
            await server.hear_until(lambda told: told.get("lines") == ["0"] and told["states"] == ["stopped"])
            with log.open("a") as file:
                file.write("1\n")
            await server.hear_until(lambda told: told["lines"] == ["0", "1"])
            await served.supervisor.start()
            await server.hear_until(lambda told: told["states"][-1] == "running")
        # By now the stand-in has a log of its own.
        with max(rig.paths.logs.iterdir()).open("a") as file:
            file.write("2\n")
        async with serving(rig, port=port):
            told = await server.hear_until(lambda told: told["lines"][-1] == "2" and told["states"][-1] == "stopped")
            # The events of the run before are not known any more.
            assert told["gaps"] == 1
            whole = await asyncio.to_thread(tail, str(rig.paths.logs), 10_000)
            assert told["lines"] == whole[1:]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["cross-site", "same-site"])
async def test_an_ordinary_page_of_this_machine_reaches_nothing(
    rig: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture, host: str
) -> None:
    caplog.set_level(logging.DEBUG, "api.app")
    async with serving(rig) as served, teller() as server:
        server.write(FOREIGN_PAGE, served.url)
        async with showing(f"http://{host}:{server.port}/", tmp_path / "profile"):
            told = await server.hear_out()
            async with asyncio.timeout(DEADLINE):
                # Nobody waits for the answer to a beacon.
                while len(_answers(caplog)) < len(told):
                    await asyncio.sleep(0.01)
        assert (await served.supervisor.status()).state is State.STOPPED
    refused = dict.fromkeys(("events", "log"), "refused")
    blocked = (
        refused | dict.fromkeys(("read", "json", "simple"), "TypeError") | {"silent": "opaque 0", "beacon": "true"}
    )
    assert told == blocked | dict.fromkeys(("form", "image", "script", "style", "frame"), "asked")
    assert _answers(caplog) == [403] * len(told)
    assert rig.starts == 0


def _answers(caplog: pytest.LogCaptureFixture) -> list[int]:
    """The status of each call that the sidecar has answered."""
    records = [record for record in caplog.records if record.name == "api.app" and isinstance(record.args, tuple)]
    return [int(str(record.args[2])) for record in records]  # type: ignore[index]
