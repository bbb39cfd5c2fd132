"""What a test of a page can rely on: it sees each fault of the page, and each barrier for a person who uses it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.beds import axe
from tests.beds.browser import shown
from tests.beds.require import require

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# A browser starts, on two busy cores.
pytestmark = pytest.mark.timeout(60)
STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
)
SOUND = """<!DOCTYPE html><html lang="en"><head><title>Sound</title></head>
<body><main><h1>Sound</h1><button>Start</button></main></body></html>"""
BARRIER = SOUND.replace("<button>Start</button>", "<button></button>")
INLINE = SOUND.replace("<h1>", '<h1 style="color: red">')


@contextmanager
def served(html: str) -> Iterator[str]:
    """A page with a strict Content-Security-Policy; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/" else 204)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Security-Policy", STRICT)
            self.end_headers()
            if self.path == "/":
                self.wfile.write(html.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def test_a_barrier_is_found_under_a_strict_policy_and_a_sound_page_has_none(browser: Browser) -> None:
    require(axe.script)
    with served(SOUND) as sound, served(BARRIER) as barrier:
        with shown(browser, sound) as view:
            assert axe.findings(view.page) == []
        with shown(browser, barrier) as view:
            (finding,) = axe.findings(view.page)
    assert finding.startswith("button-name: button: ")


def test_a_violation_of_the_policy_fails_the_view(browser: Browser) -> None:
    with (
        served(INLINE) as url,
        pytest.raises(AssertionError, match="Content Security Policy"),
        shown(browser, url),
    ):
        pass
