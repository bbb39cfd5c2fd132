"""While the sidecar is away, the page tells nothing as if it were so now."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from playwright.sync_api import expect

from tests.beds.browser import shown
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call
from tests.page.bed import button, make_sidecar

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# A browser and an Ollama start, on two busy cores.
pytestmark = pytest.mark.timeout(120)
AWAY = "The sidecar does not answer."
# Counts how often the banner is changed, which is how often a screen reader tells it.
COUNT_BANNER = """() => {
    globalThis.changes = 0;
    new MutationObserver((all) => { changes += all.length; })
        .observe(document.querySelector("#connection"), { childList: true, subtree: true, characterData: true });
}"""
HIDE = """(isHidden) => {
    Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_no_part_of_it_tells_what_was_so_before_and_the_banner_speaks_once(browser: Browser, tmp_path: Path) -> None:
    with (
        make_sidecar(tmp_path) as sidecar,
        shown(browser, f"{sidecar.url}/", may_say=lambda fault: "ERR_" in fault) as view,
    ):
        page = view.page
        button(page, "Start Ollama").click()
        expect(page.locator("#instances")).to_contain_text("is running")
        button(page, "Load tiny:latest").click()
        expect(page.locator(".loaded:visible")).to_have_count(1)
        memory = page.locator(".plot").filter(has_text="Memory").first
        expect(memory.locator(".plot-newest")).not_to_have_text("not known")
        page.evaluate(COUNT_BANNER)
        attempts: list[str] = []
        page.on("requestfailed", lambda request: attempts.append(request.url))
        ollama = call("GET", f"{sidecar.url}/api/ollama/status").json["pid"]
        assert isinstance(ollama, int)
        sidecar.process.kill()
        sidecar.process.wait(30)
        try:
            expect(page.locator("#connection")).to_contain_text(AWAY)
            expect(page.locator("#instances")).to_contain_text(AWAY)
            expect(page.locator("#instances")).not_to_contain_text("is running")
            expect(page.locator("#instances dd:visible")).to_have_count(0)
            expect(page.locator(".loaded:visible")).to_have_count(0)
            expect(button(page, "Load tiny:latest")).to_have_attribute("aria-description", AWAY)
            expect(button(page, "Pull")).to_have_attribute("aria-description", AWAY)
            expect(memory.locator(".plot-newest")).to_have_text("not known")
            for _ in range(3):
                page.wait_for_event("requestfailed", lambda request: "/events?" in request.url)
            assert page.evaluate("changes") == 1
        finally:
            os.kill(ollama, signal.SIGTERM)


def test_one_that_hangs_is_told_when_the_tab_is_shown_again(browser: Browser, shared: Sidecar) -> None:
    with shown(browser, "about:blank", may_say=lambda fault: "ERR_" in fault) as view:
        page = view.page
        page.clock.install()
        page.goto(f"{shared.url}/")
        expect(page.locator(".headline")).to_have_text("Ollama is not running")
        page.evaluate(HIDE, True)
        psutil.Process(shared.process.pid).suspend()
        try:
            with page.expect_request("**/events?*"):
                page.evaluate(HIDE, False)
            page.clock.fast_forward(11_000)
            expect(page.locator("#connection")).to_contain_text(AWAY)
            expect(page.locator(".headline")).to_have_text("Connecting to the sidecar…")
        finally:
            psutil.Process(shared.process.pid).resume()
        expect(page.locator(".headline")).to_have_text("Ollama is not running")
        expect(page.locator("#connection")).to_be_empty()


def test_the_section_tells_what_cannot_be_had_and_takes_it_back(browser: Browser, shared: Sidecar) -> None:
    with shown(browser, "about:blank", may_say=lambda fault: "status of 503" in fault) as view:
        page = view.page
        said = {"code": "disk_slow", "message": "The disk does not answer", "action": "Look at it."}
        page.route("**/api/ollama/settings", lambda route: route.fulfill(status=503, json=said))
        page.goto(f"{shared.url}/")
        expect(page.locator("#settings")).to_contain_text("The disk does not answer. Look at it.")
        page.unroute_all()
        # To be shown again is a new stream, and a new look.
        page.evaluate(HIDE, True)
        page.evaluate(HIDE, False)
        expect(page.get_by_label("Seconds for Ollama to answer")).to_be_visible()
        expect(page.locator("#settings")).not_to_contain_text("The disk does not answer")


def test_a_refused_page_does_not_say_that_nobody_answers(browser: Browser, tmp_path: Path) -> None:
    with (
        make_sidecar(tmp_path, settings={"requireToken": True}) as sidecar,
        shown(browser, f"{sidecar.url}/", may_say=lambda fault: "status of 403" in fault) as view,
    ):
        expect(view.page.get_by_role("dialog")).to_be_visible()
        view.page.keyboard.press("Escape")
        refused = "The sidecar refuses the calls of this page."
        expect(view.page.locator(".headline")).to_have_text(refused)
        expect(button(view.page, "Start Ollama")).to_have_attribute("aria-description", refused)
