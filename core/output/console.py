"""stdout and stderr whose writes never block and never fail. The entry points set them up, before all else."""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from collections.abc import Callable
from typing import TextIO

from core.output.outlet import Outlet, loss_line


def detach() -> None:
    """Replace `sys.stdout` and `sys.stderr` by streams whose writes return at once and never fail.

    Characters that the old stream's encoding lacks are shown as `\\u…`. Lines that cannot be written, because nobody
    reads the pipe or its reader has gone, are dropped and counted. A stream that is None, as in a windowed program,
    stays None.
    """
    for name in ("stdout", "stderr"):
        stream: TextIO | None = getattr(sys, name)
        if stream is not None and not isinstance(stream, Detached):
            setattr(sys, name, Detached(stream))


class Detached(io.TextIOBase, TextIO):
    """A text stream that passes whole lines to an `Outlet`, which writes them to another stream's descriptor."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._held = ""
        self._holding = threading.RLock()
        self._outlet = Outlet(f"console {stream.name}", _writer(stream), _loss_text)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream behind."""
        return self._stream.encoding

    @property
    def errors(self) -> str:  # type: ignore[override]
        """The error handler for characters that the encoding lacks."""
        return "backslashreplace"

    def writable(self) -> bool:
        """True."""
        return True

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor of the stream behind."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Queue the lines that `text` completes, and hold the rest until its newline or `flush`. Returns at once."""
        with self._holding:
            lines, newline, self._held = (self._held + text).rpartition("\n")
            if newline:
                self._outlet.put(lines + newline)
        return len(text)

    def flush(self) -> None:
        """Queue the held part of an incomplete line. Returns at once."""
        with self._holding:
            if self._held:
                self._outlet.put(self._held)
                self._held = ""


def _writer(stream: TextIO) -> Callable[[str], None]:
    # Not through the stream itself: a write that hangs would hold its lock, and Python waits for that lock at its end.
    # On Windows, if there is a console, this opens it, and a console takes UTF-8 whatever its code page is.
    raw = open(stream.fileno(), "wb", buffering=0, closefd=False)  # noqa: SIM115 - it lives as long as the program
    encoding = stream.encoding

    def write(text: str) -> None:
        rest = memoryview(text.replace("\n", os.linesep).encode(encoding, "backslashreplace"))
        while rest:
            written = raw.write(rest)
            if written is None:
                # The pipe was given to us in non-blocking mode, and is full.
                select.select([], [raw], [])
            else:
                rest = rest[written:]

    return write


def _loss_text(lost: int) -> str:
    return loss_line(lost, "nobody read them")
