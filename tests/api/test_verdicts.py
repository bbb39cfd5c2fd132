"""What has passed the checks once passes again only if nothing that decides differs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from api.access.verdicts import MOST_KEPT
from tests import fake_ollama, tied
from tests.api.serving import Served, serving
from tests.rig import Rig

DEV_SERVER = "http://localhost:5173"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A data folder whose Ollama is never started."""
    return Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))


async def asked(served: Served, path: str = "/api/ollama/status", **headers: str) -> tuple[int, str | None]:
    """The status, and the Origin whose pages may read the answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with served.http.get(path, headers=named) as response:
        return response.status, response.headers.get("Access-Control-Allow-Origin")


async def test_each_call_of_a_page_may_be_read_by_it_and_by_no_other(rig: Rig) -> None:
    async with serving(rig) as served:
        for _ in range(3):
            assert await asked(served, Origin=DEV_SERVER) == (200, DEV_SERVER)
            assert await asked(served) == (200, None)
            assert await asked(served, Origin="http://evil.com") == (403, None)
            assert await asked(served, Sec_Fetch_Site="cross-site") == (403, None)


async def test_a_token_that_is_required_from_now_on_is_required_of_who_has_passed(rig: Rig) -> None:
    async with serving(rig) as served:
        assert await asked(served) == (200, None)
        rig.configure(requireToken=True)
        async with asyncio.timeout(tied.seconds(2)):
            while (await asked(served))[0] != 403:
                await asyncio.sleep(0.01)


async def test_callers_who_never_ask_the_same_way_are_served_and_not_all_remembered(rig: Rig) -> None:
    async with serving(rig) as served:
        for number in range(MOST_KEPT + 10):
            assert await asked(served, "/healthz", X_Number=str(number)) == (200, None)
        assert await asked(served, "/healthz", Origin="http://evil.com") == (403, None)
