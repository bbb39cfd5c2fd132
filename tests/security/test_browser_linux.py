"""What the pages of a real browser reach: Aura's desktop pages, and any other page that a user happens to visit."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from core.state import State
from tests import fake_ollama
from tests.api.serving import serving
from tests.beds.browser import KEEPS_NO_ORIGINS, browsing
from tests.beds.require import require
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
        beacon: String(navigator.sendBeacon(start)),
    };
    await fetch("TOLD", {method: "POST", mode: "no-cors", body: JSON.stringify(told)});
}
run();
</script></body>"""


class Teller:
    """A web server on loopback that serves one page, and is told by it what became of its calls."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.page = ""
        self.told: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()

    async def show(self, request: web.Request) -> web.Response:
        """The page."""
        return web.Response(text=self.page, content_type="text/html")

    async def hear(self, request: web.Request) -> web.Response:
        """What the page tells."""
        if not self.told.done():
            self.told.set_result(json.loads(await request.text()))
        return web.Response()

    def write(self, page: str, sidecar: str) -> str:
        """The page with both servers' addresses in it."""
        self.page = page.replace("SIDECAR", sidecar).replace("TOLD", f"http://127.0.0.1:{self.port}/told")
        return self.page

    async def hear_out(self) -> dict[str, object]:
        """What the page told, within 30 s."""
        async with asyncio.timeout(DEADLINE):
            return await self.told


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
    blocked = dict.fromkeys(("read", "json", "simple"), "TypeError") | {"silent": "opaque 0", "beacon": "true"}
    assert told == blocked | dict.fromkeys(("form", "image", "script", "style", "frame"), "asked")
    assert _answers(caplog) == [403] * len(told)
    assert rig.starts == 0


def _answers(caplog: pytest.LogCaptureFixture) -> list[int]:
    """The status of each call that the sidecar has answered."""
    records = [record for record in caplog.records if record.name == "api.app" and isinstance(record.args, tuple)]
    return [int(str(record.args[2])) for record in records]  # type: ignore[index]
