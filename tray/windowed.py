"""What a program without a console has to say: on Windows it has neither stdout nor stderr, and so shows a box.

The frozen program is such a one, and so is `aura-ollamaw`. A box waits for somebody to close it.
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


def is_mute() -> bool:
    """Whether nobody hears what is printed."""
    # The type checker is told that they always exist.
    return getattr(sys, "stderr", None) is None
