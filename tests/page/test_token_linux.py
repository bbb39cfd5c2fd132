"""The page of a sidecar that requires its token."""

from __future__ import annotations

from collections.abc import Iterator
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

# A browser starts, on two busy cores.
pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A sidecar that does."""
    with make_sidecar(tmp_path_factory.mktemp("token"), settings={"requireToken": True}) as sidecar:
        yield sidecar


def token_of(sidecar: Sidecar) -> str:
    """Its token."""
    return (Path(sidecar.root) / "AuraData/run/token").read_text().strip()


def is_refusal(fault: str) -> bool:
    """Whether a browser tells of a call without the token."""
    return "status of 403" in fault


def test_it_asks_for_the_token_once_and_sends_it_from_then_on(browser: Browser, shared: Sidecar) -> None:
    with shown(browser, f"{shared.url}/", may_say=is_refusal) as view:
        page = view.page
        addresses: list[str] = []
        page.on("request", lambda request: addresses.append(request.url))
        dialog = page.get_by_role("dialog", name="This sidecar asks for its token")
        field = dialog.get_by_label("Token")
        expect(field).to_be_focused()
        field.fill("x" * 43)
        button(page, "Use this token").click()
        expect(dialog).to_contain_text("That is not its token.")
        field.fill(token_of(shared))
        page.keyboard.press("Enter")
        expect(dialog).to_have_count(0)
        expect(page.locator(".headline")).to_have_text("Ollama is not running")
        expect(page.locator("#connection")).to_be_empty()
        page.reload()
        expect(page.locator(".headline")).to_have_text("Ollama is not running")
        assert page.get_by_role("dialog").count() == 0
        assert not [address for address in addresses if token_of(shared) in address]
        assert page.evaluate("localStorage.length") == 0


def test_the_question_may_be_closed_and_is_asked_again_by_a_button(browser: Browser, shared: Sidecar) -> None:
    with shown(browser, f"{shared.url}/", may_say=is_refusal) as view:
        page = view.page
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(page.locator("#connection")).to_contain_text("This sidecar requires its token.")
        page.locator("#connection").get_by_role("button", name="Enter the token…").click()
        expect(dialog).to_be_visible()


def test_an_address_with_a_ticket_brings_the_token_along_once(browser: Browser, shared: Sidecar) -> None:
    headers = {"X-Aura-Token": token_of(shared)}
    url = str(call("POST", f"{shared.url}/api/app/page", headers=headers).json["url"])
    with shown(browser, url) as view:
        expect(view.page.locator(".headline")).to_have_text("Ollama is not running")
        assert view.page.url == f"{shared.url}/"
        assert view.page.evaluate("history.length") <= 2
    with shown(browser, url, may_say=is_refusal) as view:
        expect(view.page.get_by_role("dialog")).to_be_visible()
        assert view.page.url == f"{shared.url}/"
