"""A real browser without a screen: Debian's Chromium, on a profile of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.beds.screen import program

END_DEADLINE = 10.0
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
