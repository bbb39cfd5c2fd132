"""Copies lines that something else keeps, a journal or an engine, into an instance's log folder: each of them once.

How each line is written once, also over a kill of this program: the source hands lines over in batches, each with its
cursor, an opaque text by which it goes on after that batch, and with the run of the program that printed it, since
each run has a log of its own. After a batch has been written, the cursor and the place in
the log that it belongs to are kept in `run/<id>.<source>.copied`. If this program is killed between the two, the log
holds lines beyond that place; the source, asked to go on from the kept cursor, gives the same lines again, and as many
as the log holds already are left out. Secrets and our own calls are taken out, and lines cleaned, as a shim does it.

Each source has a cursor of its own, so that one whose turn comes again goes on where it was left. If another owner has
begun a log in the meantime, it goes on in a new one: the newest lines are in the newest log.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from core import files
from core.logs.lines import LineCutter
from core.logs.own_calls import leave_out
from core.logs.redact import Redactor, secrets_of
from core.logs.segments import Caps, SegmentedFile, line_prefix, listed
from core.logs.tail import count_after
from core.platform import make_private_dir
from core.settings.paths import Paths

_STREAMS = ("OUT", "ERR", "SYS")


class Line(NamedTuple):
    """What the source has of one line: `seconds` is its Unix time, `text` its bytes without the last line break."""

    stream: Literal["OUT", "ERR", "SYS"]
    seconds: float
    text: bytes


class _Kept(msgspec.Struct, frozen=True):
    """What `run/<id>.<source>.copied` holds: how far the source has been copied, and where in the log that is.

    So many lines as `elsewhere` tells came after the cursor and are in an older log.
    """

    source: str
    cursor: str
    start: str
    stamp: str
    number: int
    size: int
    elsewhere: int = 0


class LogCopy:
    """The copy of one source into an instance's log. `source` is the text of the owner.

    Everything here blocks on the disk: call it in a thread, one call at a time.
    """

    def __init__(self, paths: Paths, instance: str, source: str, caps: Mapping[str, int]) -> None:
        """`caps` are those of `core.logs.segments.Caps`."""
        self._run = paths.run
        name = hashlib.blake2b(source.encode(), digest_size=8).hexdigest()
        self._path = paths.run / f"{instance}.{name}.copied"
        self._folder = str(paths.logs_of(instance))
        self._source = source
        self._caps = Caps(**caps)
        self._redactor = Redactor([])
        self._file: SegmentedFile | None = None
        self._start = ""
        self._cursor: str | None = None
        # How many lines, of those that come next, the log holds already.
        self._again = 0
        # How many lines after the cursor the log holds.
        self._beyond = 0
        # Whether another source has begun a log since this one's last line.
        self._is_past = False
        self._is_open = False

    def conceal(self, env: Mapping[str, str]) -> None:
        """Star the secrets in these variables from now on."""
        self._redactor = Redactor(secrets_of(env))

    @property
    def path(self) -> str | None:
        """The path of the file that is written, None before the first line."""
        return self._file.path if self._file else None

    @property
    def cursor(self) -> str | None:
        """The cursor of the last line that was copied, as far as `open` and `write` know; None if none was."""
        return self._cursor

    def open(self) -> str | None:
        """The cursor after which the source is to go on, None if nothing of it has been copied. Raises OSError."""
        if self._is_open:
            return self._cursor
        kept = self._read()
        self._cursor, self._start, self._again = (kept.cursor or None, kept.start, 0) if kept else (None, "", 0)
        self._beyond, self._is_past = 0, False
        stamps = [segment.stamp for segment in listed(self._folder)] if kept else []
        if kept and kept.stamp in stamps:
            self._file = SegmentedFile(self._folder, self._caps, 0.0, kept.stamp)
            place = kept.number, kept.size
            here = sum(count_after(self._folder, kept.stamp, place, stream) for stream in _STREAMS)
            self._again = kept.elsewhere + here
            self._is_past = stamps[-1] != kept.stamp
        self._is_open = True
        return self._cursor

    def write(self, lines: Sequence[Line], cursor: str, start: str) -> None:
        """Write a batch, all of one run of the program, and keep its cursor.

        `start` is that run's name, of any form; without one it is the run whose lines were written last.

        Raises OSError. Then go on after the cursor that `open` returns.
        """
        try:
            self.open()
            if lines and (self._file is None or (start and start != self._start)):
                self._begin(lines[0].seconds, start)
            for line in lines:
                self._append(line)
            self._cursor, self._beyond = cursor, 0
            if self._file and not self._again:
                self._keep()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file. `open` and `write` open it again."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._is_open = False

    def _begin(self, seconds: float, start: str) -> None:
        """Begin a log, of another run or after another source's, and note that what follows the cursor is not in it."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._file = SegmentedFile(self._folder, self._caps, seconds)
        self._start, self._again, self._is_past = start, 0, False
        self._keep()

    def _append(self, line: Line) -> None:
        cutter = LineCutter(redactor=self._redactor)
        shown = leave_out(b"".join([*cutter.feed(line.text + b"\n"), *cutter.flush()])).split(b"\n")[:-1]
        new = shown[self._again :]
        self._again = max(0, self._again - len(shown))
        self._beyond += len(shown) - len(new)
        if new and self._is_past:
            self._begin(line.seconds, self._start)
        assert self._file is not None  # noqa: S101 - `write` has opened it
        prefix = line_prefix(line.stream, line.seconds)
        if new and self._file.append(b"".join(prefix + text + b"\n" for text in new)):
            raise OSError(errno.EIO, self._file.fault, self._file.path)
        self._beyond += len(new)

    def _keep(self) -> None:
        assert self._file is not None  # noqa: S101 - `write` has opened it
        number, size = self._file.end
        kept = _Kept(self._source, self._cursor or "", self._start, self._file.stamp, number, size, self._beyond)
        make_private_dir(str(self._run), parents=False)
        files.write(str(self._path), msgspec.json.encode(kept).decode())

    def _read(self) -> _Kept | None:
        try:
            kept = msgspec.json.decode(files.read(str(self._path)), type=_Kept)
        except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
            return None
        return kept if kept.source == self._source else None
