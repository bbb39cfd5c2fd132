"""The state on the page, and the buttons that change it."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.beds.browser import shown
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call
from tests.page.bed import button, make_sidecar

if TYPE_CHECKING:
    from playwright.sync_api import Browser

assert sys.platform == "linux"

# A browser and an Ollama start, on two busy cores.
pytestmark = pytest.mark.timeout(90)

NOTE_STATES = """
addEventListener("DOMContentLoaded", () => {
    const told = [];
    const note = () => {
        const text = document.querySelector(".headline")?.textContent;
        if (!text || text === told.at(-1)) return;
        told.push(text);
        document.documentElement.dataset.told = told.join("|");
    };
    new MutationObserver(note).observe(document.body, { subtree: true, childList: true, characterData: true });
});
"""


def test_start_and_stop_are_told_as_the_sidecar_tells_them(browser: Browser, shared: Sidecar) -> None:
    with shown(browser, "about:blank") as view:
        page = view.page
        page.add_init_script(NOTE_STATES)
        page.goto(f"{shared.url}/")
        headline = page.locator(".headline")
        expect(headline).to_have_text("Ollama is not running")
        expect(button(page, "Stop Ollama")).to_have_attribute("aria-description", "Ollama is not running.")
        # Playwright takes a button that is `aria-disabled` for one that is not enabled, which is what it is to say.
        expect(button(page, "Stop Ollama")).to_be_disabled()
        start = button(page, "Start Ollama")
        start.focus()
        page.keyboard.press("Enter")
        expect(headline).to_have_text("Ollama 0.9.3 is running")
        expect(start).to_be_disabled()
        # Whoever pressed it by the keyboard is still there.
        expect(start).to_be_focused()
        button(page, "Restart Ollama").click()
        expect(page.locator("html")).to_have_attribute("data-told", re.compile("(.*is running){2}$"))
        button(page, "Stop Ollama").click()
        expect(headline).to_have_text("Ollama is not running")
        told = (page.locator("html").get_attribute("data-told") or "").split("|")
    assert told[:4] == [
        "Connecting to the sidecar…",
        "Ollama is not running",
        "Ollama is starting…",
        "Ollama 0.9.3 is running",
    ]
    assert told[-2:] == ["Ollama is stopping…", "Ollama is not running"]
    assert call("GET", f"{shared.url}/api/ollama/status").json["state"] == "stopped"


def test_what_went_wrong_is_told_with_the_way_out_in_the_words_of_the_api(browser: Browser, tmp_path: Path) -> None:
    with make_sidecar(tmp_path) as sidecar:
        settings = tmp_path / "AuraData/settings.json"
        settings.write_text(settings.read_text().replace('/ollama"', '/<img src=x onerror=alert(1)>"'))
        with shown(browser, f"{sidecar.url}/", may_say=lambda fault: "400 (Bad Request)" in fault) as view:
            status = call("GET", f"{sidecar.url}/api/ollama/status").json
            section = view.page.locator("#status")
            expect(section.locator(".headline")).to_have_text(str(status["headline"]))
            expect(section).to_contain_text(str(status["detail"]))
            # What is in a path or a name is text, whatever it looks like.
            assert "<img src=x" in str(status["detail"])
            assert view.page.locator("img[src='x']").count() == 0
            expect(view.page.get_by_role("link", name="Get Ollama…")).to_be_visible()


def test_a_sidecar_that_is_gone_is_told_and_another_one_at_its_place_is_shown_by_itself(
    browser: Browser, tmp_path: Path
) -> None:
    first = make_sidecar(tmp_path)
    with first:
        port = int(first.url.rpartition(":")[2])
        # What cannot be reached, a browser tells on its console.
        with shown(browser, f"{first.url}/", may_say=lambda fault: "ERR_" in fault) as view:
            headline, connection = view.page.locator(".headline"), view.page.locator("#connection")
            button(view.page, "Start Ollama").click()
            expect(headline).to_have_text("Ollama 0.9.3 is running")
            expect(connection).to_be_empty()
            lines = view.page.locator(".log-lines")
            expect(lines).to_contain_text("Listening on")
            os.kill(first.process.pid, signal.SIGKILL)
            first.process.wait()
            expect(connection).to_contain_text("The sidecar does not answer.")
            expect(headline).to_have_text("Connecting to the sidecar…")
            expect(button(view.page, "Stop Ollama")).to_be_disabled()
            with make_sidecar(tmp_path, port=port, ollama_port=first.ollama_port) as second:
                assert second.url == first.url
                # The Ollama went on by itself.
                expect(headline).to_have_text("Ollama 0.9.3 is running")
                expect(connection).to_be_empty()
                expect(button(view.page, "Stop Ollama")).to_be_enabled()
                button(view.page, "Stop Ollama").click()
                expect(headline).to_have_text("Ollama is not running")
                text = lines.text_content() or ""
                assert text.count("Listening on 127.0.0.1") <= 1
