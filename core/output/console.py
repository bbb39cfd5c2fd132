"""stdout and stderr that nothing waits for and no text breaks. The entry points set them up, before all else."""

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
    """Put streams in the place of `sys.stdout` and `sys.stderr` whose writes return at once and never fail.

    What the old stream's encoding does not know is shown as `\\u…`. Lines that cannot go out, because nobody reads the
    pipe or nobody is there any more, are dropped and counted. Where there is no stream, as in a windowed program,
    there is none afterwards.
    """
    sys.stdout = _detached(sys.stdout)
    sys.stderr = _detached(sys.stderr)


def _detached(stream: TextIO | None) -> TextIO:
    if stream is None or isinstance(stream, Detached):
        # A windowed program has None there, which the type checker does not know.
        return stream  # type: ignore[return-value]
    return Detached(stream)


class Detached(io.TextIOBase, TextIO):
    """A text stream that hands whole lines to an `Outlet`, which writes them to another stream's file."""

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
        """What becomes of a character that the encoding does not know."""
        return "backslashreplace"

    def writable(self) -> bool:
        """True."""
        return True

    def isatty(self) -> bool:
        """Whether a person reads it, on a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor of the stream behind."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Queue the lines that `text` completes, and hold the rest until its line is complete or `flush`."""
        with self._holding:
            lines, newline, self._held = (self._held + text).rpartition("\n")
            if newline:
                self._outlet.put(lines + newline)
        return len(text)

    def flush(self) -> None:
        """Queue what is held of a line that is not complete. Waits for nothing."""
        with self._holding:
            if self._held:
                self._outlet.put(self._held)
                self._held = ""


def _writer(stream: TextIO) -> Callable[[str], None]:
    # Not through the stream itself: its lock would be held in a write that hangs, and Python's end waits for it.
    # On Windows this is the console's own stream if there is a console, which takes UTF-8 whatever its code page is.
    raw = open(stream.fileno(), "wb", buffering=0, closefd=False)  # noqa: SIM115 - it lives as long as the program
    encoding = stream.encoding

    def write(text: str) -> None:
        rest = memoryview(text.replace("\n", os.linesep).encode(encoding, "backslashreplace"))
        while rest:
            written = raw.write(rest)
            if written is None:
                # Whoever gave us the pipe has made it non-blocking.
                select.select([], [raw], [])
            else:
                rest = rest[written:]

    return write


def _loss_text(lost: int) -> str:
    return loss_line(lost, "nobody read them")
