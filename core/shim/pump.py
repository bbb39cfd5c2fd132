"""From a child's pipe to its log's queue: one thread per pipe, which never blocks the child for long.

Owned by the shim, and by the guard that succeeds a killed one. Standard library only.
"""

from __future__ import annotations

import functools
import threading

from core.logs.lines import LineCutter
from core.logs.own_calls import leave_out
from core.shim.spool import Spool
from core.shim.writer import LogWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from core.logs.redact import Redactor

    Settle = Callable[[int, int], None]
_MAY_BE_LOST = "Lines may be lost here: the killed shim had read more than it could leave to its guard."


class Pump:
    """One daemon thread that carries a pipe's lines to the log until the pipe ends. The descriptor stays open.

    Ollama's log lines about our own calls are left out.
    """

    def __init__(
        self,
        fd: int,
        stream: Literal["OUT", "ERR"],
        writer: LogWriter,
        redactor: Redactor | None = None,
        spool: Spool | None = None,
    ) -> None:
        """Given the spool of a killed shim's pump, the new one continues exactly where that one stopped."""
        self._redactor = redactor
        self._spool = spool or Spool()
        self._fd = fd
        self._stream = stream
        self._writer = writer
        self._thread = threading.Thread(target=self._run, name=f"pump-{stream}", daemon=True)

    def start(self) -> None:
        """Begin reading."""
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; True once the pipe has ended and all its lines are with the writer."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        cutter = LineCutter(redactor=self._redactor)
        self._write_unsettled(cutter)
        with open(self._fd, "rb", buffering=0, closefd=False) as pipe:
            while True:
                try:
                    chunk = self._spool.read(pipe)
                except OSError:
                    # A pseudo-terminal reports its end as EIO.
                    break
                if not chunk:
                    break
                for block in cutter.feed(chunk):
                    self._write(block, cutter.held)
        for block in cutter.flush():
            self._write(block, 0)

    def _write_unsettled(self, cutter: LineCutter) -> None:
        """Write the lines that a killed pump had read and not written. The log itself tells how many it wrote."""
        unsettled = self._spool.unsettled()
        if unsettled is None:
            self._writer.note(_MAY_BE_LOST)
        if not unsettled:
            return
        written = self._writer.count_after(self._stream, self._spool)
        for block in cutter.feed(unsettled):
            # The killed pump left out the same lines, so they are not among those that it wrote.
            kept = leave_out(block)
            lines = kept.split(b"\n")
            if rest := b"\n".join(lines[written:]):
                self._write(rest, cutter.held)
            written = max(0, written - kept.count(b"\n"))

    def _write(self, block: bytes, held: int | None) -> None:
        settle = None if held is None else functools.partial(self._spool.settle, self._spool.taken - held)
        # Lines that are left out take room in the queue too: otherwise more could be unsettled than the spool holds.
        self._writer.write(self._stream, leave_out(block), settle, len(block))
