"""Several windows of one browser side by side: they share its six connections to the sidecar, and none is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.beds.browser import shown
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call
from tests.page.bed import DEADLINE, button

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# A browser and an Ollama start, on two busy cores.
pytestmark = pytest.mark.timeout(120)
WINDOWS = 5


def test_five_windows_with_the_log_in_view_all_follow_it_and_take_clicks(browser: Browser, running: Sidecar) -> None:
    """Each would hold two streams: ten, where there are six connections."""
    with shown(browser, f"{running.url}/") as view:
        context = view.page.context
        pages = [view.page, *(context.new_page() for _ in range(WINDOWS - 1))]
        for page in pages:
            page.on("pageerror", lambda error: view.faults.append(f"error: {error}"))
            page.goto(f"{running.url}/")
            page.locator("#log").scroll_into_view_if_needed()
        for page in pages:
            expect(page.locator(".headline")).to_contain_text("is running", timeout=DEADLINE)
            expect(page.locator(".log-lines .log-chunk > div").first).to_be_attached(timeout=DEADLINE)
        assert call("GET", f"{running.ollama_url}/in-all-windows").status == 404
        for page in pages:
            expect(page.get_by_role("log").get_by_text("/in-all-windows")).to_have_count(1, timeout=DEADLINE)
            expect(page.locator("#connection")).to_have_text("")
        # The last one, too, may ask for something.
        field = pages[-1].get_by_label("Seconds for Ollama to end")
        field.fill("7")
        button(pages[-1], "Save stopTimeout").click()
        for page in pages:
            expect(page.get_by_label("Seconds for Ollama to end")).to_have_value("7", timeout=DEADLINE)
        for page in pages[1:]:
            page.close()
