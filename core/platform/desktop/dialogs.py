"""Dialogs that are programs of their own, on Linux and macOS. For this room only."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

_open: set[subprocess.Popen[bytes]] = set()


def ask(command: Sequence[str], text: bytes = b"") -> subprocess.CompletedProcess[bytes] | None:
    """The ended dialog, which got `text` on stdin; None if `close_all` ended it. Blocks as long as a person takes.

    Raises OSError if it does not start.
    """
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as dialog:
        _open.add(dialog)
        try:
            said, complaint = dialog.communicate(text)
        finally:
            is_ours = dialog in _open
            _open.discard(dialog)
    return subprocess.CompletedProcess(command, dialog.returncode, said, complaint) if is_ours else None


def close_all() -> None:
    """End the dialogs that are open; whoever asked gets None. From any thread; does not block."""
    for dialog in list(_open):
        _open.discard(dialog)
        dialog.terminate()
