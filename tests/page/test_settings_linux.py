"""The settings on the page: they are changed there, and what they may not be is told beside the field."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.beds import axe
from tests.beds.browser import shown
from tests.beds.require import require
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call
from tests.page.bed import button, make_sidecar

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


def with_token(sidecar: Sidecar) -> str:
    """The page's address with a ticket for the token."""
    token = (sidecar.root / "AuraData/run/token").read_text().strip()
    return str(call("POST", f"{sidecar.url}/api/app/page", headers={"X-Aura-Token": token}).json["url"])


def test_lists_and_objects_are_shown_and_changed_as_lines_and_as_json(browser: Browser, shared: Sidecar) -> None:
    require(axe.script)
    with shown(browser, f"{shared.url}/", may_say=lambda fault: "status of 400" in fault) as view:
        page = view.page
        canary = page.locator("#setting-canary")
        expect(canary).to_have_value("")
        expect(page.locator("#setting-allowedOrigins")).to_have_count(0)
        row = page.locator("li.setting").filter(has=canary)
        for entered, told in (("{model", "is no JSON"), ("5", "`canary` is 5"), ('{"every": 1}', "has no `model`")):
            canary.fill(entered)
            button(page, "Save canary").click()
            expect(row.locator(".problem")).to_contain_text(told)
            expect(canary).to_have_attribute("aria-invalid", "true")
        assert in_force(shared, "canary") is None
        canary.fill('{"model": "tiny",\n "everySeconds": 5}')
        button(page, "Save canary").click()
        expect(row.locator(".problem")).to_be_hidden()
        expect(button(page, "Save canary")).to_be_disabled()
        kept = in_force(shared, "canary")
        assert isinstance(kept, dict)
        assert (kept["model"], kept["everySeconds"]) == ("tiny", 5)
        button(page, "Set canary to its default").click()
        expect(canary).to_have_value("")


def test_with_the_token_every_setting_can_be_changed_and_says_when_it_takes_effect(
    browser: Browser, tmp_path: Path
) -> None:
    require(axe.script)
    with (
        make_sidecar(tmp_path, settings={"requireToken": True}) as sidecar,
        shown(browser, with_token(sidecar), may_say=lambda fault: "status of 400" in fault) as view,
    ):
        page = view.page
        origins = page.locator("#setting-allowedOrigins")
        origins.fill("http://localhost:5173\n\n  https://aura.example \n")
        row = page.locator("li.setting").filter(has=origins)
        button(page, "Save allowedOrigins").click()
        expect(origins).to_have_value("http://localhost:5173\nhttps://aura.example")
        origins.fill("http://localhost:5173\n*")
        button(page, "Save allowedOrigins").click()
        expect(row.locator(".problem")).to_contain_text('`allowedOrigins[1]` is "*"')
        env = page.locator("#setting-env")
        expect(env).to_have_value(re.compile("OLLAMA_MODELS"))
        expect(page.locator("#setting-env-told")).to_contain_text("Takes effect when Ollama is started anew.")
        expect(page.locator("#setting-port-told")).to_contain_text("Takes effect when the sidecar is started anew.")
        page.locator("#setting-requireToken").uncheck()
        expect(page.locator("#setting-requireToken")).not_to_be_checked()
        page.locator("#setting-host").fill("0.0.0.0")
        button(page, "Save host").click()
        row = page.locator("li.setting").filter(has=page.locator("#setting-host"))
        expect(row.locator(".problem")).to_contain_text("`requireToken` is false")
        assert axe.findings(page) == []
        kept = json.loads((sidecar.root / "AuraData/ollama-sidecar.json").read_text())
        assert kept["allowedOrigins"] == ["http://localhost:5173", "https://aura.example"]
        assert kept.get("host") is None


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
