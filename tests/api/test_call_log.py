"""Our own log of calls: whoever is refused cannot fill it."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import aiohttp

from api.http.call_log import MOST_LINES
from tests.api.test_server import Place
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call

CALLS = 800
LINE = re.compile(r"INFO api\.app: (GET|POST) .* (403|200) ")
REST = re.compile(r"INFO api\.app: (\d+) more calls were answered with 4xx$", re.MULTILINE)


def log_of(sidecar: Sidecar) -> str:
    """All that it has logged so far."""
    return (sidecar.root / "AuraData" / "logs" / "sidecar.log").read_text(encoding="utf-8")


async def test_a_page_that_is_refused_over_and_over_fills_no_log_and_is_counted(tmp_path: Path) -> None:
    with Place(tmp_path).sidecar() as sidecar:
        began = time.monotonic()
        page = {"Origin": "http://page.example"}
        async with aiohttp.ClientSession(sidecar.url, headers=page) as http:
            for _ in range(CALLS):
                async with http.get("/healthz") as response:
                    assert response.status == 403
        seconds = time.monotonic() - began
        # What changes something is told all the same.
        assert (await asyncio.to_thread(call, "POST", f"{sidecar.url}/api/app/show")).status == 200
        async with asyncio.timeout(5):
            while sum(map(int, REST.findall(log_of(sidecar)))) + _lines(sidecar, "403") < CALLS:
                await asyncio.sleep(0.01)
        assert sum(map(int, REST.findall(log_of(sidecar)))) + _lines(sidecar, "403") == CALLS
        assert _lines(sidecar, "403") <= MOST_LINES * (seconds + 2)
        assert _lines(sidecar, "200") == 1


def _lines(sidecar: Sidecar, status: str) -> int:
    return sum(found[1] == status for found in LINE.findall(log_of(sidecar)))
