"""Everybody can use the page: nothing that axe-core finds, no sideways scrolling, and the keyboard reaches all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
from playwright.sync_api import expect

from tests.beds import axe
from tests.beds.browser import shown
from tests.beds.require import require
from tests.beds.sidecar import Sidecar
from tests.page.bed import button

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# A browser and an Ollama start, on two busy cores.
pytestmark = pytest.mark.timeout(90)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 700, 1600])
def test_axe_finds_nothing_and_nothing_is_cut_off(
    browser: Browser, running: Sidecar, scheme: Literal["light", "dark"], width: int
) -> None:
    """320 CSS pixels are also what a window of 640 has at 200 %."""
    require(axe.script)
    with shown(browser, f"{running.url}/", width=width, scheme=scheme) as view:
        page = view.page
        expect(page.get_by_label("Seconds for Ollama to answer")).to_be_visible()
        expect(page.locator("#instances dl")).to_be_visible()
        delete = button(page, "Delete tiny:latest")
        expect(delete).to_be_enabled()
        assert axe.findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        delete.click()
        assert axe.findings(page) == []
        page.keyboard.press("Escape")
        button(page, "Ask tiny:latest something").click()
        assert axe.findings(page) == []
        page.keyboard.press("Escape")


def test_the_keyboard_reaches_every_button_and_field(browser: Browser, running: Sidecar) -> None:
    with shown(browser, f"{running.url}/") as view:
        page = view.page
        expect(button(page, "Delete tiny:latest")).to_be_enabled()
        expect(page.get_by_label("Seconds for Ollama to answer")).to_be_visible()
        wanted = page.locator("button:visible, input:visible, a:visible").count()
        reached = set()
        for _ in range(3 * wanted):
            page.keyboard.press("Tab")
            path = page.evaluate(
                """() => {
                    const node = document.activeElement;
                    if (!node.matches("button, input, a")) return null;
                    return [...document.querySelectorAll("button, input, a")].indexOf(node);
                }"""
            )
            reached.add(path)
        assert len(reached - {None}) >= wanted


def test_the_state_and_the_buttons_are_told_apart_in_forced_colours(browser: Browser, running: Sidecar) -> None:
    with shown(browser, "about:blank") as view:
        page = view.page
        page.emulate_media(forced_colors="active")
        page.goto(f"{running.url}/")
        expect(button(page, "Stop Ollama")).to_be_enabled()
        color = "(node) => getComputedStyle(node).color"
        can, cannot = (button(page, name).evaluate(color) for name in ("Stop Ollama", "Start Ollama"))
        assert can != cannot
