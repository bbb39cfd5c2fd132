"""Makes the README's pictures of the page and of the terminal: `python -m docs.pictures page`.

Both show what is really there: a sidecar and its Ollama, the page in Chromium, and the commands on a terminal of their
own, whose output rich turns into HTML.
"""

from __future__ import annotations

import fcntl
import html
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PIL import Image
from playwright.sync_api import expect
from rich.ansi import AnsiDecoder
from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, MONOKAI, TerminalTheme

from tests.beds.browser import driven, shown
from tests.beds.sidecar import CHECKOUT, Sidecar
from tests.beds.wire import call
from tests.page.bed import make_sidecar

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
THEMES: Mapping[str, tuple[TerminalTheme, str]] = {
    "light": (DEFAULT_TERMINAL_THEME, "#1c1c1e"),
    "dark": (MONOKAI, "#f0f0f2"),
}
PAPER = {"light": "#ffffff", "dark": "#1e1e22"}
COMMANDS: tuple[tuple[str, ...], ...] = (("restart",), ("load", "tiny"), ("models",), ("ps",), ("logs", "-n", "4"))
COLUMNS, ROWS = 96, 40
_QUESTIONS = 12
_COLOURS = 256
_TERMINAL = """<!doctype html><html><head><meta charset="utf-8"><style>
body {{ margin: 0; background: transparent; }}
pre {{ display: inline-block; margin: 0; padding: 16px 20px; border-radius: 8px; background: {paper}; color: {ink};
    font: 14px/1.35 "DejaVu Sans Mono", monospace; }}
</style></head><body><pre>{text}</pre></body></html>"""


def take(folder: Path) -> None:
    """Write `page-light.png`, `page-dark.png`, `terminal-light.png` and `terminal-dark.png` into `folder`."""
    with tempfile.TemporaryDirectory() as root, make_sidecar(Path(root)) as sidecar, driven() as browser:
        call("POST", f"{sidecar.url}/api/ollama/start", timeout=60)
        with shown(browser, f"{sidecar.url}/") as view:
            # Somebody looks, so that the plots have a moment a second.
            for _ in range(_QUESTIONS):
                _ask(sidecar)
                view.page.wait_for_timeout(1500)
            said = [(words, _on_a_terminal(sidecar, words)) for words in COMMANDS]
        for scheme in SCHEMES:
            _page(browser, sidecar, scheme, folder / f"page-{scheme}.png")
            _terminal(browser, said, scheme, folder / f"terminal-{scheme}.png")


def _ask(sidecar: Sidecar) -> None:
    body = {"model": "tiny", "prompt": "What is a sidecar?", "stream": False, "options": {"num_predict": 40}}
    call("POST", f"{sidecar.ollama_url}/api/generate", body, timeout=60)


def _page(browser: Browser, sidecar: Sidecar, scheme: Literal["light", "dark"], path: Path) -> None:
    with shown(browser, f"{sidecar.url}/", width=1200, height=1000, scheme=scheme, scale=1.5) as view:
        expect(view.page.get_by_role("log").get_by_text("Listening on").first).to_be_attached()
        expect(view.page.locator(".plot-line").first).to_have_attribute("d", re.compile("L"))
        view.page.screenshot(path=path)
    _shrink(path)


def _terminal(browser: Browser, said: list[tuple[tuple[str, ...], str]], scheme: str, path: Path) -> None:
    theme, ink = THEMES[scheme]
    parts = []
    for words, printed in said:
        console = Console(record=True, width=COLUMNS, file=io.StringIO())
        for line in AnsiDecoder().decode(printed):
            console.print(line)
        command = f"<b>$ aura-ollama {html.escape(' '.join(words))}</b>\n"
        parts.append(
            command + console.export_html(theme=theme, inline_styles=True, code_format="{code}").rstrip("\n") + "\n"
        )
    with shown(browser, "about:blank", width=1100, scale=1.5) as view:
        view.page.set_content(_TERMINAL.format(paper=PAPER[scheme], ink=ink, text="\n".join(parts).rstrip()))
        view.page.locator("pre").screenshot(path=path, omit_background=True)
    _shrink(path)


def _on_a_terminal(sidecar: Sidecar, words: tuple[str, ...]) -> str:
    """What a command prints on a terminal."""
    if sys.platform == "win32":  # noqa: TID251 - the type checker looks at this for Windows too
        raise NotImplementedError
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "CI")}
    env |= {"AURA_DATA_PATH": str(sidecar.root), "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(
        [sys.executable, "-m", "cli", *words], cwd=CHECKOUT, env=env, stdin=theirs, stdout=theirs
    ) as process:
        os.close(theirs)
        printed = b""
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:
                # The other end is closed: so Linux tells it.
                break
            printed += part
    os.close(ours)
    if process.returncode:
        raise RuntimeError(f"{words} ended with {process.returncode}: {printed.decode()}")
    return printed.decode().replace("\r\n", "\n")


def _shrink(path: Path) -> None:
    with Image.open(path) as image:
        image.convert("RGBA").quantize(_COLOURS).save(path, optimize=True)
