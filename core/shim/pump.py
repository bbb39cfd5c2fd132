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
    from collections.abc import Callable, Iterator
    from typing import Literal

    from core.logs.redact import Redactor

    Settle = Callable[[int, int], None]

# A chunk of ordinary text is handed over whole. Text that cleaning makes longer goes in several pieces.
_TOGETHER_BYTES = 64 * 1024
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
        self._handed_over = self._spool.settled.position
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
                self._write(cutter, cutter.feed(chunk))
        self._write(cutter, cutter.flush())

    def _write_unsettled(self, cutter: LineCutter) -> None:
        """Write the lines that a killed pump had read and not written. The log itself tells how many it wrote."""
        unsettled = self._spool.unsettled()
        if unsettled is None:
            self._writer.note(_MAY_BE_LOST)
        if not unsettled:
            return
        written = self._writer.count_after(self._stream, self._spool)
        self._write(cutter, cutter.feed(unsettled), written)

    def _write(self, cutter: LineCutter, blocks: Iterator[bytes], written: int = 0) -> None:
        """Hand the blocks to the writer, as many at once as can be settled together, but for the first `written` lines.

        A killed pump left out the same calls of ours, so they are not among the lines that it wrote.
        """
        together: list[bytes] = []
        size = 0
        for block in blocks:
            size += len(block)
            kept = leave_out(block)
            if written:
                lines = kept.split(b"\n")
                kept = b"\n".join(lines[written:])
                written = max(0, written - len(lines) + 1)
            together.append(kept)
            if cutter.held is None or size >= _TOGETHER_BYTES:
                self._hand_over(together, size, cutter.held)
                together, size = [], 0
        if together:
            self._hand_over(together, size, cutter.held)

    def _hand_over(self, blocks: list[bytes], size: int, held: int | None) -> None:
        """`held` is the cutter's after the last block: the log may be settled up to its end unless that is None."""
        settle = None
        if held is not None:
            end = self._spool.taken - held
            settle = functools.partial(self._spool.settle, end)
            # What waits to be settled takes the spool's room, whether it is shown or not.
            size = max(size, end - self._handed_over)
            self._handed_over = end
        self._writer.write(self._stream, *blocks, settle=settle, size=size)
