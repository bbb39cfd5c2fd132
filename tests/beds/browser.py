"""A real browser without a screen: Debian's Chromium, on a profile of its own.

`browsing` shows a page and no more. With `driven` and `shown` a test also uses the page, as a person would: by
Playwright's Python package, which brings playwright-core and a Node to run it, and downloads no browser.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests.beds import BedMissing
from tests.beds.screen import program

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

END_DEADLINE = 10.0
ACTION_SECONDS = 15.0
"""How long Playwright waits for an element before it says that it is not there."""
KEEPS_NO_ORIGINS = "--disable-web-security"
"""As a desktop program starts it for the pages that it loads from disk."""
# Chromium's own calls to its maker would be refused here, many at a time; a test runs as root, where it has no sandbox.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--no-proxy-server",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
)


@contextmanager
def browsing(url: str, profile: Path, *flags: str) -> Iterator[None]:
    """Show a page until the block ends; `profile` is a folder for this browser alone. Raises BedMissing.

    Nothing tells when the page has loaded: have it say so to a server of the test's own.
    """
    command = [program("chromium", "chromium"), *_FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0"]
    with (
        (profile.parent / f"{profile.name}.txt").open("wb") as said,
        subprocess.Popen([*command, *flags, url], stdin=subprocess.DEVNULL, stdout=said, stderr=said) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(END_DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()


@dataclass(slots=True)
class View:
    """A page that is shown, and what went wrong in it: errors, lines on its console, and reports of its CSP."""

    page: Page
    faults: list[str] = field(default_factory=list)


@contextmanager
def driven() -> Iterator[Browser]:
    """A browser that does what it is told. Raises BedMissing.

    Its calls are synchronous and on this thread, where no event loop may run meanwhile: it is for tests that are no
    coroutines.
    """
    executable = program("chromium", "chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise BedMissing("playwright is missing: pip install -e '.[dev]'") from None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def shown(
    browser: Browser,
    url: str,
    *,
    width: int = 1000,
    height: int = 800,
    scheme: Literal["light", "dark"] = "light",
    scale: float = 1,
    may_say: Callable[[str], bool] = lambda fault: False,
) -> Iterator[View]:
    """A new page at `url`, with a profile of its own. Its faults fail the test at the end, but for those of `may_say`.

    Violations of the page's Content-Security-Policy are among them: Chromium tells each on the console.
    """
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        device_scale_factor=scale,
        reduced_motion="reduce",
    )
    context.set_default_timeout(ACTION_SECONDS * 1000)
    try:
        view = View(context.new_page())
        view.page.on("pageerror", lambda error: view.faults.append(f"error: {error}"))
        view.page.on("console", lambda line: view.faults.append(f"{line.type}: {line.text}"))
        view.page.goto(url)
        yield view
    finally:
        context.close()
    unexpected = [fault for fault in view.faults if not may_say(fault)]
    assert not unexpected, unexpected
