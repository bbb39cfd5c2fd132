"""Models on the page: from nothing to one that answers, and what else can be done with them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.beds import gguf
from tests.beds.browser import shown
from tests.beds.registry import Registry
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call
from tests.core.jobs.bed import MB, weights
from tests.page.bed import button, make_sidecar, serving_registry

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# A browser and an Ollama start, and a model is pulled and asked, on two busy cores.
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def shop() -> Iterator[Registry]:
    """A registry, which this module's sidecar may pull from."""
    with serving_registry() as serving:
        yield serving


def allowing(shop: Registry) -> dict[str, object]:
    """The settings that let a sidecar pull from it."""
    return {"allowedRegistries": [shop.host], "allowInsecureRegistries": True}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, shop: Registry) -> Iterator[Sidecar]:
    """A sidecar that may."""
    with make_sidecar(tmp_path_factory.mktemp("models"), settings=allowing(shop)) as sidecar:
        yield sidecar


def test_from_nothing_to_a_model_that_answers_with_the_page_alone(
    browser: Browser, shop: Registry, tmp_path: Path
) -> None:
    """As a newcomer would; the two minutes of that are for a line that is slower than this registry."""
    gguf.write_tiny_model(tmp_path / "model", padding=4 * MB)
    shop.add("small:latest", [(tmp_path / "model").read_bytes()])
    shop.rate = MB
    name = f"{shop.host}/library/small:latest"
    began = time.monotonic()
    with make_sidecar(tmp_path, settings=allowing(shop)) as sidecar, shown(browser, f"{sidecar.url}/") as view:
        page = view.page
        expect(button(page, "Pull")).to_be_disabled()
        button(page, "Start Ollama").click()
        expect(button(page, "Pull")).to_be_enabled()
        page.get_by_label("Pull a model").fill(shop.name("small"))
        page.keyboard.press("Enter")
        download = page.get_by_role("list", name="Downloads").get_by_role("listitem")
        expect(download).to_contain_text(re.compile(r"\d+ % of 4\.\d+ MB, .*/s"))
        expect(download).to_have_text(re.compile(r"Downloaded\."))
        load = button(page, f"Load {name}")
        load.focus()
        page.keyboard.press("Enter")
        row = page.get_by_role("list", name="Installed models").get_by_role("listitem").filter(has_text=name)
        expect(row).to_contain_text("In memory: ")
        # The same button, where it was, and still with the focus.
        expect(button(page, f"Unload {name}")).to_be_focused()
        button(page, f"Ask {name} something").click()
        button(page, "Ask").click()
        answer = page.locator(".answer")
        expect(answer).not_to_have_text("Waiting for the answer…", timeout=60_000)
        expect(answer).not_to_be_empty()
        assert time.monotonic() - began < 120
        button(page, "Close").click()
        expect(button(page, f"Ask {name} something")).to_be_focused()
        button(page, f"Unload {name}").click()
        expect(row).not_to_contain_text("In memory")


def test_what_happens_elsewhere_is_shown_without_taking_the_focus(browser: Browser, running: Sidecar) -> None:
    with shown(browser, f"{running.url}/") as view:
        page = view.page
        field = page.get_by_label("Pull a model")
        expect(button(page, "Pull")).to_be_enabled()
        field.fill("half a na")
        assert call("POST", f"{running.url}/api/ollama/models/tiny/load", timeout=40).status == 200
        expect(page.locator(".loaded:visible")).to_have_count(1)
        expect(field).to_be_focused()
        expect(field).to_have_value("half a na")
    assert call("POST", f"{running.url}/api/ollama/models/tiny/unload", timeout=20).status == 200


def test_a_download_is_cancelled_and_a_model_deleted_once_that_is_confirmed(
    browser: Browser, running: Sidecar, shop: Registry, tmp_path: Path
) -> None:
    shop.rate = 0
    (held,) = shop.add("held:latest", [weights(1)])
    held.hold_at = 2 * MB
    with shown(browser, f"{running.url}/") as view:
        page = view.page
        page.get_by_label("Pull a model").fill(shop.name("held"))
        button(page, "Pull").click()
        cancel = page.get_by_role("button", name=re.compile("^Cancel the download of .*held"))
        cancel.focus()
        page.keyboard.press("Enter")
        download = page.get_by_role("list", name="Downloads").get_by_role("listitem").filter(has_text="held")
        expect(download).to_contain_text("The download was cancelled.")
        # Its button is gone, and the focus is not lost with it.
        hide = page.get_by_role("button", name=re.compile("^Hide the download of .*held"))
        expect(hide).to_be_focused()
        page.keyboard.press("Enter")
        expect(download).to_have_count(0)
        expect(page.get_by_label("Pull a model")).to_be_focused()

        delete = button(page, "Delete tiny:latest")
        delete.click()
        expect(page.get_by_role("dialog")).to_contain_text("Delete tiny:latest?")
        # Whoever presses Enter without reading keeps it.
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(delete).to_be_focused()
        assert call("GET", f"{running.url}/api/ollama/models/tiny/available").json["isAvailable"]
        delete.click()
        button(page, "Delete it").click()
        expect(delete).to_have_count(0)
        assert not call("GET", f"{running.url}/api/ollama/models/tiny/available").json["isAvailable"]
        expect(page.locator("#models-title")).to_be_focused()


def test_what_cannot_be_pulled_is_told_beside_the_field_in_the_words_of_the_api(
    browser: Browser, running: Sidecar
) -> None:
    def may_say(fault: str) -> bool:
        return bool(re.search("status of 4(00|03)", fault))

    with shown(browser, f"{running.url}/", may_say=may_say) as view:
        page = view.page
        problem = page.locator("form.pull .problem")
        expect(button(page, "Pull")).to_be_enabled()
        for name in ("a b", "evil.com/library/x", "<script>alert(1)</script>"):
            page.get_by_label("Pull a model").fill(name)
            button(page, "Pull").click()
            path = page.evaluate("(name) => `/api/ollama/models/${encodeURIComponent(name)}/pull`", name)
            said = call("POST", f"{running.url}{path}").json
            expect(problem).to_contain_text(str(said["message"]))
            expect(problem).to_contain_text(str(said["action"]))
