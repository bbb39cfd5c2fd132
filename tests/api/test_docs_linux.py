"""The API for people, in a real browser: all of it, nothing from elsewhere, and no way around a check."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from api.docs import SWAGGER_FOLDER
from tests.beds import axe
from tests.beds.browser import ACTION_SECONDS, shown
from tests.beds.require import require
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call, free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# A browser starts, on two busy cores.
pytestmark = pytest.mark.timeout(60)
WITHIN = ACTION_SECONDS * 1000
WITHOUT_SWAGGER = """
import runpy, sys
sys.modules["swagger_ui_bundle"] = None
runpy.run_module("api", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    """A sidecar as installed with the extra; it never starts an Ollama."""
    with serving(tmp_path) as running:
        yield running


def serving(root: Path, *program: str, **settings: object) -> Sidecar:
    """A sidecar to enter, run by `program` or as usual."""
    given = {"program": program} if program else {}
    return Sidecar(
        root,
        executable=root / "none",
        models=root,
        ollama_port=free_port(),
        settings=settings,
        **given,  # type: ignore[arg-type]
    )


def described(url: str) -> dict[str, Any]:
    """The OpenAPI document."""
    document = json.loads(call("GET", f"{url}/openapi.json").body)
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_without_the_extra_it_is_a_list_of_every_call_and_body(tmp_path: Path, browser: Browser, scheme: str) -> None:
    require(axe.script)
    with serving(tmp_path, sys.executable, "-c", WITHOUT_SWAGGER) as sidecar:
        document = described(sidecar.url)
        with shown(browser, f"{sidecar.url}/docs", width=320, scheme=scheme) as view:  # type: ignore[arg-type]
            page = view.page
            calls = [f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods]
            assert sorted(page.locator(".calls code").all_inner_texts()) == sorted(calls)
            assert page.locator("section[id^='body-']").count() == len(document["components"]["schemas"])
            broken = page.evaluate(
                """() => [...document.querySelectorAll("a[href^='#']")].map((link) => link.hash.slice(1))
                    .filter((name) => !document.getElementById(decodeURIComponent(name)))"""
            )
            assert broken == []
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
            # All are made alike, and axe-core takes a minute for hundreds of them.
            surplus = "section:nth-of-type(n + 4), .calls li:nth-of-type(n + 4)"
            page.locator(surplus).evaluate_all("(found) => found.forEach((each) => each.remove())")
            assert axe.findings(page) == []


def test_swagger_shows_every_call_with_nothing_from_elsewhere(sidecar: Sidecar, browser: Browser) -> None:
    assert SWAGGER_FOLDER is not None
    document = described(sidecar.url)
    asked: list[str] = []
    with shown(browser, "about:blank") as view:
        view.page.on("request", lambda request: asked.append(request.url))
        view.page.goto(f"{sidecar.url}/docs")
        summaries = view.page.locator(".opblock-summary")
        summaries.first.wait_for()
        assert summaries.count() == sum(map(len, document["paths"].values()))
    assert [url for url in asked if not url.startswith((sidecar.url, "data:"))] == []


def test_what_swagger_tries_out_passes_the_same_checks(tmp_path: Path, browser: Browser) -> None:
    """Where the token is required it is refused without, and answered with the token that the user enters."""
    from playwright.sync_api import expect

    with serving(tmp_path, requireToken=True) as sidecar:
        secret = (tmp_path / "AuraData" / "run" / "token").read_text().strip()
        with shown(browser, f"{sidecar.url}/docs", may_say=lambda fault: "403" in fault) as view:
            page = view.page
            call_of_it = page.locator(".opblock", has=page.locator("[data-path='/healthz']"))
            call_of_it.locator(".opblock-summary").click()
            call_of_it.get_by_role("button", name="Try it out").click()
            call_of_it.get_by_role("button", name="Execute").click()
            answered = call_of_it.locator(".live-responses-table .response-col_status").last
            expect(answered).to_contain_text("403", timeout=WITHIN)
            page.get_by_role("button", name="Authorize").first.click()
            page.locator(".modal-ux input").fill(secret)
            page.locator(".modal-ux").get_by_role("button", name="Authorize").click()
            page.locator(".modal-ux").get_by_role("button", name="Close").click()
            call_of_it.get_by_role("button", name="Execute").click()
            expect(answered).to_contain_text("200", timeout=WITHIN)
