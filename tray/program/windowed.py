"""What a program has to say that nobody started in a terminal: before it has an icon, and once it has none any more.

On Windows the frozen program and `aura-ollamaw` have neither stdout nor stderr, and show a box, which waits for
somebody to close it. Elsewhere it is a toast, or where nobody shows toasts a window that closes by itself after 30 s.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Sequence

from core.platform import desktop

TITLE = "Aura Ollama"


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """As argparse does. Without a console, what it would print before it raises SystemExit is shown."""
    if not is_mute():
        return parser.parse_args(arguments)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            return parser.parse_args(arguments)
    except SystemExit:
        desktop.alert(TITLE, said.getvalue())
        raise


def show(text: str) -> None:
    """Show `text` on the desktop, unless a terminal shows what is printed. Blocks as long as it stands there."""
    if is_mute():
        desktop.alert(TITLE, text)
        return
    if sys.stderr.isatty() or not desktop.has_screen() or desktop.notify(TITLE, text):
        return
    try:
        from tray.screen import gtk_window
    except (ImportError, ValueError):
        # No bindings for GTK, or for another version only.
        return
    gtk_window.show_alone(TITLE, text)


def is_mute() -> bool:
    """Whether there is nothing to print to."""
    # The type checker is told that they always exist.
    return getattr(sys, "stderr", None) is None
