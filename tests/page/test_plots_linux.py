"""The plots on the page: what is known, with units and in words, and nothing where nothing is known."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.beds.browser import shown
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# A browser and an Ollama start, on two busy cores.
pytestmark = pytest.mark.timeout(90)
# Ten minutes of one sample a second, with a minute in which nothing was measured, and a value that was not known.
DRAW = """async () => {
    const { plots } = await import("/page/plots.js");
    const host = document.createElement("div");
    const charts = plots(host);
    const all = Array.from({ length: 600 }, (_, second) => second).filter((second) => second < 200 || second >= 260);
    const none = all.map(() => null);
    charts.history({ instances: [{ id: "one", now: { requests: 1, requestSeconds: 1 }, history: {
        at: all,
        memoryBytes: all.map((second) => second === 300 ? null : 1024 ** 3),
        cpu: all.map((second) => second === 0 ? 4 : 0),
        vramBytes: none,
        requests: all.map((second) => second === 100 ? 2 : 0),
        requestSeconds: all.map((second) => second === 100 ? 3 : 0),
    } }] }, "one");
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    return [...host.querySelectorAll("figure")].map((figure) => ({
        path: figure.querySelector(".plot-line").getAttribute("d"),
        words: figure.querySelector("svg").getAttribute("aria-label"),
        scale: [...figure.querySelectorAll(".plot-scale span")].map((label) => label.textContent),
    }));
}"""


def test_gaps_stay_open_and_scales_have_units(browser: Browser, shared: Sidecar) -> None:
    with shown(browser, f"{shared.url}/") as view:
        memory, cpu, vram, latency = view.page.evaluate(DRAW)
    # One line up to the pause, one up to the value that is not known, one from there.
    assert re.sub(r"[^ML]", "", memory["path"]).count("M") == 3
    assert [len(part) for part in re.sub(r"[^ML]", "", memory["path"]).split("M")[1:]] == [199, 39, 298]
    assert memory["scale"] == ["1 GB", "512 MB", "0 B"]
    assert memory["words"] == "Memory over the last 10 minutes: now 1 GB, lowest 1 GB, highest 1 GB."
    assert cpu["scale"] == ["5 cores", "2.5 cores", "0 cores"]
    assert vram["path"] == ""
    assert vram["words"] == "Graphics memory: nothing is known of the last 10 minutes."
    assert latency["path"].count("M") == 1
    assert latency["scale"] == ["2 s", "1 s", "0 ms"]
    assert latency["words"] == "Time to answer over the last 10 minutes: last 1.5 s, lowest 1.5 s, highest 1.5 s."


def test_what_ollama_takes_and_how_fast_it_answers_is_told_as_it_happens(browser: Browser, running: Sidecar) -> None:
    with shown(browser, f"{running.url}/") as view:
        page = view.page
        memory = page.get_by_role("img", name=re.compile("^Memory over the last 10 minutes"))
        expect(memory).to_have_attribute(
            "aria-label", re.compile(r"now [\d.]+ MB, lowest [\d.]+ \w+, highest [\d.]+ MB")
        )
        call("GET", f"{running.ollama_url}/api/tags")
        latency = page.get_by_role("img", name="Time to answer over the last 10 minutes")
        expect(latency).to_have_attribute("aria-label", re.compile(r"last \d+ ms"))
        expect(latency.locator(".plot-line")).to_have_attribute("d", re.compile("M"))
