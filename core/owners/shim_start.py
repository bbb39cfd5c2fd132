"""Starts one shim with its Ollama, and hears from it how that went.

All that blocks runs in one thread of its own, which also ends what it began if nobody waits for it any more. The
coroutine belongs to the supervisor's loop.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from subprocess import Popen, TimeoutExpired

import msgspec

from core import files
from core.errors import DataFolderGone, SpawnFailed, os_error_in_words
from core.ollama import program
from core.owners.bundle import RESTART, shim_program
from core.owners.process import WAYS_OUT, Managed
from core.owners.protocol import Plan as Plan
from core.owners.run_record import NewerVersion, RunRecord, read_record, record_path, spec_path, sweep, to_record
from core.platform import SHIM_SECONDS, birth, end_orphans, has_guard, make_private_dir, spawn_shim
from core.shim.spec import Spec
from core.threads.single_flight import within

ACCESS_DENIED = "Access denied. Please run as administrator or check file permissions."
_REPAIR = "Restart aura-ollama. If that does not help, install it anew."
_LATE = f"the shim said nothing within {SHIM_SECONDS:g} s"
_END_SECONDS = 5.0
_CHECK_SECONDS = 5.0
_OWN_END_SECONDS = 1.0
_POLL_SECONDS = 0.02


async def check(plan: Plan) -> None:
    """Raise SpawnFailed if an Ollama lives whose run record a start would write over. Changes nothing."""
    try:
        await within(_CHECK_SECONDS, "check", lambda: _refuse_if_taken(plan))
    except TimeoutError:
        raise _unanswered(plan) from None


async def start_shim(plan: Plan) -> Managed:
    """Check, and start a shim with its Ollama, within 18 s (Windows: 28 s).

    Raises SpawnFailed, with nothing left running, and ConfigError if no instance can have the id in the plan.

    If it is cancelled, it returns once nothing is left, as the contract of `Owner.start` says. If the disk that holds
    `run_dir` hangs meanwhile, a thread goes on and ends what it may have started.
    """
    attempt = _ShimStart(plan)
    seconds = SHIM_SECONDS + 2 * _OWN_END_SECONDS + _END_SECONDS + 1.0
    running = asyncio.ensure_future(within(seconds, "shim-start", attempt.run))
    try:
        record, popen = await asyncio.shield(running)
    except TimeoutError:
        attempt.give_up()
        raise _unanswered(plan) from None
    except asyncio.CancelledError:
        attempt.give_up()
        running.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait([running], timeout=2 * _OWN_END_SECONDS + _END_SECONDS)
        if running.done() and not running.exception():
            # It had succeeded just before.
            record, popen = running.result()
            with suppress(TimeoutError):
                await within(3 * _END_SECONDS, "shim-end", lambda: _end(popen, record.shim_birth))
        raise
    return Managed(record_path(plan.run_dir, plan.instance), record, plan.grace, popen)


class _ShimStart:
    """One start of a shim, in a thread, which another thread can end by `give_up`."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._spec = spec_path(plan.run_dir, plan.instance)
        # Guards what follows: a shim that is born after `give_up` would be nobody's.
        self._lock = threading.Lock()
        self._is_given_up = False
        self._is_told = False
        self._popen: Popen[bytes] | None = None

    def run(self) -> tuple[RunRecord, Popen[bytes]]:
        """Start the shim and read its answer. Raises SpawnFailed, with nothing left running."""
        _refuse_if_taken(self._plan)
        # On Windows a pipe cannot be read with a deadline. Killing the shim closes it.
        late = threading.Timer(SHIM_SECONDS, self.give_up)
        late.daemon = True
        try:
            late.start()
            answer, popen = self._ask_shim()
            record = self._record_in(answer, popen)
        except RuntimeError as error:
            # The system grants no thread.
            raise SpawnFailed(f"The shim could not be started: {error}") from error
        finally:
            late.cancel()
            # The shim deletes its spec once read, but may have been killed before, or while it wrote the record.
            sweep(self._plan.run_dir, self._plan.instance)
        with self._lock:
            self._is_told = not self._is_given_up
        if not self._is_told:
            _end(popen, record.shim_birth)
            raise SpawnFailed(_LATE)
        return record, popen

    def give_up(self) -> None:
        """Kill the shim, if there is one yet or will be; its guard ends its tree. From any thread."""
        with self._lock:
            self._is_given_up = True
            popen = self._popen
            if popen is None:
                return
            # Not reaped yet, so its pid cannot be another's.
            popen.kill()
            if self._is_told:
                # The start had succeeded, but whoever waited for it was cancelled before getting the result.
                threading.Thread(target=_end, args=[popen, ""], name="shim-start", daemon=True).start()

    def _ask_shim(self) -> tuple[bytes, Popen[bytes]]:
        """The shim's first line or, if that is no answer, all that it says before its end; 10 s at most."""
        try:
            reader, popen = self._start_shim()
        except FileNotFoundError as error:
            if not self._plan.run_dir.parent.is_dir():
                gone = DataFolderGone(f"{self._plan.run_dir.parent} is gone")
                raise SpawnFailed(f"The shim could not be started: {gone}", action=gone.action) from error
            raise _not_started(error, RESTART) from error
        except OSError as error:
            raise _not_started(error, None) from error
        with os.fdopen(reader, "rb") as file:
            line = file.readline()
            # A good answer is one line, and is not read to the end of the pipe: on Windows the launcher of a virtual
            # environment holds the pipe open as long as the shim lives.
            return line if line.startswith(b"{") else line + file.read(), popen

    def _start_shim(self) -> tuple[int, Popen[bytes]]:
        """Start the shim. The descriptor is where it says how its own start went. Raises OSError."""
        self._write_spec()
        command = shim_program().command(self._plan.run_dir, self._spec)
        reader, writer = os.pipe()
        try:
            if self._is_given_up:
                raise TimeoutError(errno.ETIMEDOUT, _LATE)
            # Its working directory is not a folder of the program, because Windows lets nobody replace one in use.
            popen = spawn_shim(command, str(self._plan.run_dir), writer)
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        with self._lock:
            self._popen = popen
            if self._is_given_up:
                popen.kill()
        return reader, popen

    def _write_spec(self) -> None:
        plan = self._plan
        # Its parent is the data folder, whose disk may just have been removed: create no new one.
        make_private_dir(str(plan.run_dir), parents=False)
        spec = Spec(
            argv=[str(plan.executable), "serve"],
            env=dict(plan.env),
            cwd=str(plan.run_dir),
            logs=str(plan.logs),
            caps=dict(plan.caps),
            record=str(record_path(plan.run_dir, plan.instance)),
            grace=plan.grace,
            stop_event=f"Global\\aura-ollama-{uuid.uuid4().hex}",
            port=plan.port,
            url=plan.url,
            instance=plan.instance,
        )
        files.write(str(self._spec), spec.to_json())

    def _record_in(self, answer: bytes, popen: Popen[bytes]) -> RunRecord:
        """The record in the shim's answer. Raises SpawnFailed with the shim's error, once nothing of it is left."""
        born = ""
        # If the birth time cannot be read, `end_orphans` finds the shim's leftovers by their session alone.
        with suppress(OSError):
            born = birth(popen.pid) or ""
        action = None
        try:
            message = json.loads(answer)
            if "record" in message:
                return to_record(message["record"])
            error = msgspec.convert(message["error"], _ShimError)
        except (ValueError, TypeError, KeyError, RecursionError, msgspec.MsgspecError):
            # This is no answer of a working shim, but for example a traceback.
            text = answer.decode(errors="replace").strip().rpartition("\n")[2]
            error = _ShimError(text=text or (_LATE if self._is_given_up else "the shim said nothing"))
            action = None if self._is_given_up else _REPAIR
        left = _end(popen, born)
        sentence = error.sentence(self._plan.executable) + (
            f" What it left cannot be ended: pid {left}." if left else ""
        )
        raise SpawnFailed(sentence, action=WAYS_OUT.get(error.errno or 0, action))


def _refuse_if_taken(plan: Plan) -> None:
    """Raise SpawnFailed if the shim in the instance's run record is alive, or if that cannot be read at present.

    Such a shim was not adopted, because its record could not be read in time or is of a later version.
    """
    path = record_path(plan.run_dir, plan.instance)
    # The thread of a start that was given up just before may still be ending its shim.
    deadline = time.monotonic() + _OWN_END_SECONDS
    try:
        while (record := read_record(path)) and record.ended_at is None and birth(record.shim_pid) == record.shim_birth:
            if time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
                continue
            raise SpawnFailed(
                f"Instance {plan.instance} still runs an Ollama at {record.url} (pid {record.pid}), which was not "
                "taken over.",
                action="Restart aura-ollama, which then takes it over, or end that process.",
            )
    except NewerVersion as newer:
        shim = newer.content.get("shimPid"), newer.content.get("shimBirth")
        if isinstance(shim[0], int) and birth(shim[0]) == shim[1]:
            raise SpawnFailed(
                f"A later version of aura-ollama runs instance {plan.instance} (pid {shim[0]}); {path} is its record.",
                action="Stop it with that version, or upgrade this one.",
            ) from None
    except OSError as error:
        raise _not_started(error, None) from error


def _unanswered(plan: Plan) -> SpawnFailed:
    return SpawnFailed(f"The shim could not be started: {plan.run_dir} does not answer.")


def _not_started(error: OSError, action: str | None) -> SpawnFailed:
    words = f"The shim could not be started: {os_error_in_words(error)}"
    return SpawnFailed(words, action=WAYS_OUT.get(error.errno or 0, action))


def _end(popen: Popen[bytes], born: str) -> str:
    """Wait until a shim that failed has ended, and its tree; kill it if it does not end. Returns the pids still alive.

    They are text for a sentence: empty if none is alive, "unknown" if that cannot be read.
    """
    deadline = time.monotonic() + _END_SECONDS
    try:
        popen.wait(_OWN_END_SECONDS)
    except TimeoutExpired:
        popen.kill()
        with suppress(TimeoutExpired):
            popen.wait(_END_SECONDS)
    is_late = False
    while not is_late:
        is_late = time.monotonic() >= deadline
        # On OSError nothing could be read, so processes may be alive: try again.
        with suppress(OSError):
            if is_late or not has_guard(popen.pid, born):
                return ", ".join(map(str, end_orphans(popen.pid, born)))
        time.sleep(_POLL_SECONDS)
    return "unknown"


class _ShimError(msgspec.Struct, frozen=True):
    text: str
    errno: int | None = None
    path: str | None = None

    def sentence(self, executable: Path) -> str:
        # On Windows the error does not name the file.
        if self.path in (str(executable), None) and (why := program.why_not(executable)):
            return f"{executable} cannot be run: {why}."
        if self.errno in (errno.EACCES, errno.EPERM):
            return f"{ACCESS_DENIED} It is refused at {self.path or executable}."
        # Only an error of the operating system is about a file.
        place = self.path or (executable if self.errno is not None else None)
        return f"Ollama could not be started: {self.text}" + (f" ({place})" if place else "")
