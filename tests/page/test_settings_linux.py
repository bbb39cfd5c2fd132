"""The settings on the page: they are changed there, and what they may not be is told beside the field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.beds import axe
from tests.beds.browser import shown
from tests.beds.require import require
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call
from tests.page.bed import button

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# A browser and a sidecar start, on two busy cores.
pytestmark = pytest.mark.timeout(90)
SECONDS = "Seconds for Ollama to answer"


def in_force(sidecar: Sidecar, key: str) -> object:
    """What that setting is, by the API."""
    settings = call("GET", f"{sidecar.url}/api/ollama/settings").json["settings"]
    assert isinstance(settings, list)
    return next(one["value"] for one in settings if one["key"] == key)


def test_what_is_saved_holds_for_everybody_and_the_default_comes_back(browser: Browser, shared: Sidecar) -> None:
    with shown(browser, f"{shared.url}/") as view, shown(browser, f"{shared.url}/") as other:
        field = view.page.get_by_label(SECONDS)
        expect(button(view.page, "Save readyTimeout")).to_be_disabled()
        field.fill("45.5")
        view.page.keyboard.press("Enter")
        expect(other.page.get_by_label(SECONDS)).to_have_value("45.5")
        assert in_force(shared, "readyTimeout") == 45.5
        expect(button(view.page, "Save readyTimeout")).to_be_disabled()
        switch = view.page.get_by_label("Start a crashed Ollama again")
        was = switch.is_checked()
        switch.click()
        expect(other.page.get_by_label("Start a crashed Ollama again")).to_be_checked(checked=not was)
        assert in_force(shared, "restartOnCrash") is not was
        button(view.page, "Set readyTimeout to its default").click()
        expect(other.page.get_by_label(SECONDS)).to_have_value("10")
        button(view.page, "Set restartOnCrash to its default").click()
        expect(other.page.get_by_label("Start a crashed Ollama again")).to_be_checked(checked=was)


@pytest.mark.parametrize(
    "entered", ["99999999", "1e", "--", "1,5", "soon", "NaN", "-1", "<img src=x onerror=alert(1)>"]
)
def test_a_bad_value_changes_nothing_and_is_told_in_the_words_of_the_api(
    browser: Browser, shared: Sidecar, entered: str
) -> None:
    require(axe.script)
    assert call("PUT", f"{shared.url}/api/ollama/settings", {"changes": {"readyTimeout": 33}}).status == 200
    with shown(browser, f"{shared.url}/", may_say=lambda fault: "status of 400" in fault) as view:
        page = view.page
        field = page.get_by_label(SECONDS)
        expect(field).to_have_value("33")
        field.click()
        page.keyboard.press("Control+A")
        page.keyboard.type(entered)
        page.keyboard.press("Enter")
        row = page.locator("li.setting").filter(has=field)
        expect(row.locator(".problem")).to_contain_text("`readyTimeout` is")
        expect(row.locator(".problem")).to_contain_text(entered)
        expect(row.locator(".problem")).to_contain_text("must be a number of seconds")
        expect(field).to_have_attribute("aria-invalid", "true")
        # What was typed can be mended where it is.
        expect(field).to_have_value(entered)
        assert axe.findings(page) == []
        assert in_force(shared, "readyTimeout") == 33
        field.fill("34")
        button(page, "Save readyTimeout").click()
        expect(row.locator(".problem")).to_be_hidden()
        expect(field).not_to_have_attribute("aria-invalid", "true")
    assert in_force(shared, "readyTimeout") == 34
