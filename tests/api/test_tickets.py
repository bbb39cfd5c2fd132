"""The way of the token into a browser: an address with a ticket, which the page changes for the token."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from core import token
from tests import fake_ollama
from tests.api.serving import Served, serving
from tests.rig import Rig

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A stand-in behind a sidecar that requires its token."""
    return Rig(tmp_path, fake_ollama.install(tmp_path / "bin"), requireToken=True)


async def changed(served: Served, ticket: object) -> tuple[int, dict[str, object]]:
    """What the sidecar gives for that ticket."""
    async with served.http.post("/api/app/token", json={"ticket": ticket}) as response:
        assert response.headers["Cache-Control"] == "no-store"
        return response.status, await response.json(content_type=None)


async def test_whoever_has_the_token_gets_an_address_whose_ticket_is_good_once(rig: Rig) -> None:
    async with serving(rig) as served:
        secret = await asyncio.to_thread(token.read_or_create, rig.paths.run)
        async with served.http.post("/api/app/page", headers=JSON) as response:
            assert response.status == 403
        async with served.http.post("/api/app/page", headers={**JSON, "X-Aura-Token": secret}) as response:
            url = (await response.json())["url"]
        start, _, ticket = url.partition("#ticket=")
        assert start == f"{served.url}/"
        assert secret not in url
        assert await changed(served, ticket) == (200, {"token": secret})
        status, body = await changed(served, ticket)
        assert (status, body["code"]) == (403, "ticket_refused")
        for wrong in ("", "x" * 32, 1, None):
            status, body = await changed(served, wrong)
            assert status in {400, 403}
            assert secret not in str(body)


async def test_without_a_required_token_the_address_is_plain(rig: Rig) -> None:
    rig.configure(requireToken=False)
    async with serving(rig) as served:
        async with served.http.post("/api/app/page", headers=JSON) as response:
            assert await response.json() == {"url": f"{served.url}/"}
        assert await served.core.page_address(served.url) == f"{served.url}/"


@pytest.mark.parametrize(
    "lines",
    [
        {"Origin": "http://evil.com"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Host": "evil.com"},
    ],
)
async def test_a_foreign_page_gets_nothing_for_a_good_ticket_and_does_not_use_it_up(
    rig: Rig, lines: dict[str, str]
) -> None:
    async with serving(rig) as served:
        ticket = served.core.tickets.issue()
        async with served.http.post("/api/app/token", json={"ticket": ticket}, headers=lines) as response:
            assert response.status == 403
        assert (await changed(served, ticket))[0] == 200
