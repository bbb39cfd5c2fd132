"""Copies what a unit prints from the journal into the instance's log, by `journalctl`.

It begins after the cursor of the last line that was copied, so that what was printed meanwhile is copied as well, and
nothing twice (`core.owners.copied`). Only a unit that was never copied begins with its last 2000 lines.

What is there already is copied first, and only then it is followed, because `journalctl --follow` alone loses lines:
those of earlier boots, since version 251; and with `--lines` the first ones of a unit that had none before, since its
place is then behind the end of the journal (sd_journal_seek_tail(3)). Following begins after the last line of this
boot, or with its first one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import threading
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.errors import os_error_in_words
from core.owners.copied import Line, LogCopy
from core.platform.boot import boot_id
from core.threads.single_flight import within

log = logging.getLogger(__name__)

_FIRST_LINES = 2000
_BATCH_SECONDS = 0.1
_MOST_LINES = 500
# One entry with all its fields. Of a line that a unit prints journald takes 48 KiB, which JSON may make six times
# longer; what comes by journald's own protocol, such as the notice of a crash, has no such limit.
_LONGEST_ENTRY = 8 << 20
_RETRY_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 30.0
_FOR_EVER = 1e9
_UNREADABLE = (
    "The log of {} may not be read by you. Have yourself added to the group `systemd-journal`, and log in anew."
)
_UNFOLLOWED = "The log of {} cannot be followed: {}"
# systemd does not promise the form of a cursor. Where it is another one, the line counts as one of this boot.
_BOOT = re.compile(r"(?:\A|;)b=([0-9a-f]{32})(?:;|\Z)")


class Journal:
    """The journal of one unit. `run` is a task."""

    def __init__(self, unit: str, copy: LogCopy, lock: threading.Lock, *, is_user: bool) -> None:
        """`lock` is shared by all copies of one owner: the one before may still write."""
        self.trouble: str | None = None
        """Why nothing can be copied at present; None if it can."""
        self._unit = unit
        self._copy = copy
        self._lock = lock
        self._is_user = is_user

    async def run(self) -> None:
        """Copy until it is cancelled. journalctl is started again if it ends."""
        pause = _RETRY_SECONDS
        try:
            while True:
                before: str | None = None
                try:
                    before = await self._in_thread(self._copy.open)
                    await self._follow(before)
                except OSError as error:
                    self.trouble = f"The log of {self._unit} cannot be copied: {os_error_in_words(error)}."
                    log.debug("the journal of %s cannot be copied", self._unit, exc_info=True)
                has_copied = self._copy.cursor != before
                pause = _RETRY_SECONDS if has_copied else min(2 * pause, _LONGEST_RETRY_SECONDS)
                await asyncio.sleep(pause)
        finally:
            self._copy.close()

    async def _follow(self, before: str | None) -> None:
        """Copy what comes after that cursor until journalctl ends."""
        which = f"--user-unit={self._unit}" if self._is_user else f"--unit={self._unit}"
        begin = [f"--after-cursor={before}"] if before else [f"--lines={_FIRST_LINES}"]
        code, has_complained = await self._copy_from(which, *begin)
        if code != 0:
            return
        cursor = self._copy.cursor
        if cursor == before and not has_complained:
            self.trouble = await asyncio.to_thread(self._why_unreadable)
        boot = _BOOT.search(cursor or "")
        is_of_this = cursor and (boot is None or boot[1] == await asyncio.to_thread(boot_id))
        await self._copy_from(
            which, "--follow", "--boot", "--no-tail", *([f"--after-cursor={cursor}"] if is_of_this else [])
        )

    def _why_unreadable(self) -> str | None:
        """Why no line may be seen, if none may: journalctl says nothing as long as the user has a journal of his own.

        Blocks. With --user-unit journalctl looks for the user's id in all journals that may be read: his own, or the
        system's, where journald keeps all in memory.
        """
        return None if self._is_user or _may_read_all() else _UNREADABLE.format(self._unit)

    async def _copy_from(self, *arguments: str) -> tuple[int, bool]:
        """Run journalctl, and copy what it prints. Returns its exit code, and whether it has complained."""
        command = ["journalctl", "--output=json", "--all", "--no-pager", *arguments]
        child = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, limit=_LONGEST_ENTRY
        )
        try:
            assert child.stdout  # noqa: S101 - it was asked for
            assert child.stderr  # noqa: S101
            async with asyncio.TaskGroup() as tasks:
                listening = tasks.create_task(self._listen(child.stderr))
                await self._copy_all(child.stdout)
            return await child.wait(), listening.result()
        finally:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    async def _listen(self, errors: asyncio.StreamReader) -> bool:
        """Note what journalctl says is wrong, as soon as it says so. Returns whether it has said anything of that."""
        has_complained = False
        while said := (await errors.readline()).decode("utf-8", "replace").strip():
            log.debug("journalctl: %s", said)
            if not said.startswith(("Hint:", "--")):
                is_refused = "insufficient permissions" in said
                words = (
                    _UNREADABLE.format(self._unit)
                    if is_refused
                    else f"The log of {self._unit} cannot be followed: {said}"
                )
                self.trouble = self.trouble or words
                has_complained = True
        return has_complained

    async def _copy_all(self, entries: asyncio.StreamReader) -> None:
        """Copy batch by batch until journalctl ends."""
        loop = asyncio.get_running_loop()
        pending: asyncio.Task[bytes] | None = None
        start = ""
        try:
            while True:
                batch: list[tuple[Line, str, str]] = []
                deadline = 0.0
                while len(batch) < _MOST_LINES:
                    pending = pending or asyncio.create_task(_next(entries))
                    left = max(0.0, deadline - loop.time()) if batch else None
                    done, _ = await asyncio.wait([pending], timeout=left)
                    if not done:
                        break
                    entry, pending = pending.result(), None
                    if not entry:
                        await self._write(batch)
                        return
                    if (read := _read(entry, start)) is not None:
                        start = read[2]
                        batch.append(read)
                        deadline = deadline or loop.time() + _BATCH_SECONDS
                await self._write(batch)
        finally:
            if pending:
                pending.cancel()

    async def _write(self, batch: list[tuple[Line, str, str]]) -> None:
        """Write a batch, each start of the unit for itself."""
        while batch:
            start = batch[0][2]
            count = next((place for place, (_, _, other) in enumerate(batch) if other != start), len(batch))
            lines, cursor = [line for line, _, _ in batch[:count]], batch[count - 1][1]

            def write(lines: list[Line] = lines, cursor: str = cursor, start: str = start) -> None:
                self._copy.write(lines, cursor, start)

            await self._in_thread(write)
            del batch[:count]
            self.trouble = None

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        """On a thread of its own, since the disk may hang; then everything here waits for it."""

        def locked() -> Any:
            with self._lock:
                return work()

        return await within(_FOR_EVER, "journal copy", locked)


async def _next(entries: asyncio.StreamReader) -> bytes:
    """The next line of journalctl; empty at its end. What is longer than the limit is left out, and said in our log."""
    while True:
        try:
            return await entries.readline()
        except ValueError:
            log.warning("an entry of the journal is longer than %d bytes, and is left out", _LONGEST_ENTRY)


def _read(entry: bytes, start: str) -> tuple[Line, str, str] | None:
    """The line, its cursor, and the id of the start of the unit that it belongs to; None for what is no entry.

    Fields: systemd.journal-fields(7). A message that is not UTF-8 comes as a list of bytes, one of several as a list.
    """
    try:
        fields = json.loads(entry)
        message, cursor = fields["MESSAGE"], fields["__CURSOR"]
        seconds = int(fields["__REALTIME_TIMESTAMP"]) / 1e6
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if isinstance(message, str):
        text = message.encode("utf-8", "backslashreplace")
    elif isinstance(message, list) and all(isinstance(byte, int) for byte in message):
        text = bytes(message)
    else:
        return None
    # systemd's own messages about the unit name its start by another field than the unit's own do.
    own = fields.get("_SYSTEMD_INVOCATION_ID")
    told = fields.get("INVOCATION_ID") or fields.get("USER_INVOCATION_ID")
    is_systemds = fields.get("SYSLOG_IDENTIFIER") == "systemd" and (told or fields.get("JOB_ID"))
    begun = (told if is_systemds else own) or start or "unknown"
    return Line("SYS" if is_systemds else "OUT", seconds, text.rstrip(b"\n")), cursor, begun


def _may_read_all() -> bool:
    """Whether this user may read the system's journal, which is at one of two places, or at none yet."""
    folders = (Path("/var/log/journal"), Path("/run/log/journal"))
    journals = [file for folder in folders for file in folder.glob("*/system.journal")]
    return all(os.access(file, os.R_OK) for file in journals)
