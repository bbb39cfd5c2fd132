"""The sidecar's side of the shim: start one, adopt one, ask it to stop, hear of its end. Never acts on a bare pid.

Blocking work runs in threads; the coroutines belong to the supervisor's loop.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import msgspec
import psutil

from core import bundle, private_file
from core.decode import from_json
from core.errors import SpawnFailed, StopFailed
from core.platform import (
    GUARDED,
    ExitWatch,
    ask_shim,
    birth,
    end_orphans,
    has_guard,
    kill,
    make_private_dir,
    spawn_shim,
    unlink_file,
)
from core.shim import SHIM_KILLED, WATCHERS_KILLED, bury
from core.state import UNRECORDED, Exit

log = logging.getLogger(__name__)

ACCESS_DENIED = "Access denied. Please run as administrator or check file permissions."
_MAKE_ROOM = "Make room on the disk that holds AuraData, and try again."
_CLOSE_FILES = "Wait until fewer calls are under way, or end a program that has many files open, and try again."
WAYS_OUT = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EMFILE: _CLOSE_FILES,
    errno.ENFILE: _CLOSE_FILES,
}
_HAND_OVER_SECONDS = 10.0
_STOP_MARGIN_SECONDS = 6.0
_BURIAL_SECONDS = 4.0
_BIRTH_SECONDS = 5.0
_POLL_SECONDS = 0.02
_RETRY_SECONDS = 0.25
_PACKAGE_ROOT = Path(__file__).resolve().parent.parent


class RunRecord(msgspec.Struct, frozen=True, rename="camel"):
    """What a shim wrote about its child, `run/ollama-<port>.json`. `core.shim` tells the fields."""

    shim_pid: int
    shim_birth: str
    pid: int
    birth: str
    executable: str
    port: int
    url: str
    log: str
    started_at: str
    stop_event: str
    exit_code: int | None = None
    ended_at: str | None = None
    reason: str | None = None
    last_lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything needed to spawn one Ollama. `grace` is in seconds, `env` what is added to our own environment."""

    executable: Path
    url: str
    port: int
    env: Mapping[str, str]
    run_dir: Path
    logs: Path
    caps: Mapping[str, int]
    grace: float


class Managed:
    """A live shim, spawned or adopted, and its Ollama. Only `spawn` and `adopt` make one."""

    def __init__(self, path: Path, record: RunRecord, grace: float, popen: Popen[bytes] | None = None) -> None:
        self.record = record
        self.grace = grace
        self._path = path
        self._popen = popen
        self._ended = asyncio.Event()

    async def watch(self) -> Exit:
        """Return once the shim has ended and its tree with it. Let one task do this, once."""
        await wait_end(self.record.shim_pid, self.record.shim_birth)
        if self._popen:
            await asyncio.to_thread(self._popen.wait)
        record = await asyncio.to_thread(self._final_record)
        self._ended.set()
        reason = record.reason or (SHIM_KILLED if self._was_killed else UNRECORDED)
        return Exit(record.exit_code, reason, record.ended_at, record.last_lines)

    @property
    def _was_killed(self) -> bool:
        # Of one that is no child of ours the exit code is not known, and nothing but a kill is likely. On Windows the
        # killer chooses the code.
        return self._popen is None or self._popen.returncode < 0 or not GUARDED

    def _final_record(self) -> RunRecord:
        # A killed shim's guard needs a moment to stop the tree and to say so, and ends then.
        deadline = time.monotonic() + _BURIAL_SECONDS
        while self._is_guard_at_work() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        record = self._last_record() or self._bury()
        _sweep_drafts(self._path.parent)
        return record

    def _is_guard_at_work(self) -> bool:
        try:
            return self._last_record() is None and has_guard(self.record.shim_pid, self.record.shim_birth)
        except OSError:
            return True

    def _last_record(self) -> RunRecord | None:
        record = read_record(self._path)
        return record if record and record.shim_pid == self.record.shim_pid and record.ended_at else None

    def _bury(self) -> RunRecord:
        """Do what the guard of a killed shim should have done: it was killed too."""
        if GUARDED and self._was_killed:
            with suppress(OSError):
                end_orphans(self.record.shim_pid, self.record.shim_birth)
            log.warning("shim %d and its guard were killed; ended what they had left", self.record.shim_pid)
            bury(str(self._path), str(Path(self.record.log).parent), self.record.shim_pid, WATCHERS_KILLED)
        return self._last_record() or self.record

    async def stop(self) -> None:
        """Ask the shim to stop its tree, and kill the shim if it does not obey: its guard ends the tree then.

        Needs `watch` to be running. Raises StopFailed if the tree outlives even that, or cannot be asked.
        """
        shim = self.record.shim_pid, self.record.shim_birth
        try:
            await asyncio.to_thread(ask_shim, *shim, self.record.stop_event)
            if await self.gone(self.grace + _STOP_MARGIN_SECONDS):
                return
            await asyncio.to_thread(kill, *shim)
        except OSError as error:
            raise StopFailed(
                f"Ollama (pid {self.record.pid}) cannot be asked to end: {error.strerror or error}.",
                action=WAYS_OUT.get(error.errno or 0),
            ) from error
        if not await self.gone(_STOP_MARGIN_SECONDS):
            raise StopFailed(f"Ollama (pid {self.record.pid}) does not end, not even when killed.")

    async def gone(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the end that `watch` tells; False if it does not come."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), timeout)
        return self._ended.is_set()

    def owns(self, pid: int) -> bool:
        """Whether `pid` is our Ollama or one of its descendants. Reads the process table: call it in a thread."""
        try:
            family = {pid, *(parent.pid for parent in psutil.Process(pid).parents())}
        except (psutil.Error, OSError):
            return False
        return not family.isdisjoint({self.record.pid, self.record.shim_pid})

    def let_go(self) -> None:
        """Leave the shim and its Ollama running, for a later sidecar to adopt."""
        if self._popen and self._popen.returncode is None:
            # Nobody is going to reap it from here, and Popen complains of that when it is collected.
            self._popen.returncode = 0


async def wait_end(pid: int, birth: str) -> None:
    """Return once that process has ended. It need not be a child of ours.

    Looks again until it can, should the sidecar lack the descriptors.
    """
    while True:
        with suppress(OSError):
            return await _wait_end(pid, birth)
        await asyncio.sleep(_RETRY_SECONDS)


async def _wait_end(pid: int, birth: str) -> None:
    gone = ExitWatch(pid, birth)
    waiting = asyncio.create_task(asyncio.to_thread(gone.wait))
    try:
        await asyncio.shield(waiting)
    finally:
        gone.cancel()
        with suppress(OSError):
            await waiting
        gone.close()


def record_path(run_dir: Path, port: int) -> Path:
    """Where the run record of the Ollama on that port lies."""
    return run_dir / f"ollama-{port}.json"


def spec_path(run_dir: Path, port: int) -> Path:
    """Where the shim to come on that port finds what it shall do."""
    return run_dir / f"ollama-{port}.spec.json"


def read_record(path: Path) -> RunRecord | None:
    """The run record, None if there is none, it is damaged, or others may have written it."""
    try:
        return from_json(private_file.read(str(path)).encode(), RunRecord)
    except (OSError, msgspec.MsgspecError):
        return None


async def spawn(plan: Plan) -> Managed:
    """Start a shim with its Ollama. Raises SpawnFailed, with nothing left running."""
    spec = spec_path(plan.run_dir, plan.port)
    try:
        reader, popen = await _start_shim(plan, spec)
        record = await _take_over(reader, popen)
    finally:
        # The shim deletes it once read, but may have been killed before, or while it wrote the record.
        await asyncio.to_thread(_sweep, plan.run_dir)
    return Managed(record_path(plan.run_dir, plan.port), record, plan.grace, popen)


async def _start_shim(plan: Plan, spec: Path) -> tuple[int, Popen[bytes]]:
    """The shim, and the end of the pipe on which it says how its start went. Raises SpawnFailed."""
    writer = reader = -1
    try:
        await asyncio.to_thread(_write_spec, plan, spec)
        reader, writer = os.pipe()
        return reader, await asyncio.to_thread(_spawn, spec, writer)
    except OSError as error:
        if reader >= 0:
            os.close(reader)
        raise SpawnFailed(f"The shim could not be started: {error}", action=WAYS_OUT.get(error.errno or 0)) from error
    finally:
        if writer >= 0:
            os.close(writer)


def _spawn(spec: Path, output: int) -> Popen[bytes]:
    """Raises OSError, also if a frozen program's shim cannot be copied."""
    if getattr(sys, "frozen", False):
        executable = bundle.shim_executable(spec.parent) or sys.executable
        # Nor may it stand in the program's folder: Windows would not let that be replaced either.
        return spawn_shim([str(executable), "--shim", str(spec)], str(spec.parent), output)
    # On Windows the executable of a virtual environment is a launcher, which would be one more process.
    python = getattr(sys, "_base_executable", sys.executable)
    # No site packages and no PYTHON* variables: the shim needs the standard library only, and starts faster.
    return spawn_shim([python, "-S", "-s", "-E", "-m", "core.shim", str(spec)], str(_PACKAGE_ROOT), output)


def _write_spec(plan: Plan, path: Path) -> None:
    make_private_dir(str(plan.run_dir))
    spec = {
        "argv": [str(plan.executable), "serve"],
        "env": dict(plan.env),
        "cwd": str(plan.run_dir),
        "logs": str(plan.logs),
        "caps": dict(plan.caps),
        "record": str(record_path(plan.run_dir, plan.port)),
        "grace": plan.grace,
        "stopEvent": f"Global\\aura-ollama-{uuid.uuid4().hex}",
        "port": plan.port,
        "url": plan.url,
    }
    private_file.write(str(path), json.dumps(spec))


async def _take_over(reader: int, popen: Popen[bytes]) -> RunRecord:
    born = await asyncio.to_thread(_birth_of, popen)
    reading = asyncio.create_task(asyncio.to_thread(_read_answer, reader))
    done, _ = await asyncio.wait([reading], timeout=_HAND_OVER_SECONDS)
    if not done:
        # Not reaped yet, so its pid cannot be another's.
        popen.kill()
    text = await reading
    try:
        answer = from_json(text, dict[str, msgspec.Raw])
        if "record" in answer:
            return from_json(answer["record"], RunRecord)
        error = from_json(answer["error"], _ShimError)
    except (msgspec.MsgspecError, KeyError):
        error = _ShimError(text=text.decode(errors="replace").strip().rpartition("\n")[2] or "the shim said nothing")
    await asyncio.to_thread(_clear_up, popen, born)
    raise SpawnFailed(error.sentence(), action=WAYS_OUT.get(error.errno or 0))


def _birth_of(popen: Popen[bytes]) -> str:
    # Without it what it left is still known by its session.
    with suppress(OSError):
        return birth(popen.pid) or ""
    return ""


def _clear_up(popen: Popen[bytes], born: str) -> None:
    """See the tree of a shim end that failed or was killed before it had told of its child."""
    popen.wait()
    deadline = time.monotonic() + _BURIAL_SECONDS
    with suppress(OSError):
        while has_guard(popen.pid, born) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        end_orphans(popen.pid, born)


def _read_answer(reader: int) -> bytes:
    """The shim's first line or, if that is no answer, all that it says before its end."""
    with os.fdopen(reader, "rb") as file:
        line = file.readline()
        # Not to the end in any case: on Windows a launcher of ours may hold the pipe as long as the shim lives.
        return line if line.startswith(b"{") else line + file.read()


class _ShimError(msgspec.Struct, frozen=True):
    text: str
    errno: int | None = None
    path: str | None = None

    def sentence(self) -> str:
        if self.errno in (errno.EACCES, errno.EPERM):
            return ACCESS_DENIED
        if self.errno == errno.ENOEXEC:
            return f"The Ollama executable is not a program that this system can run ({self.text})."
        return f"Ollama could not be started: {self.text}" + (f" ({self.path})" if self.path else "")


def adopt(run_dir: Path, grace: float) -> list[Managed]:
    """Every live shim that the records in `run_dir` prove to be ours. Nothing is signalled.

    A record proves it if shim and Ollama match in pid and birth, the shim's command line names this run folder, and
    the Ollama is the shim's child. A shim whose sidecar was killed in the middle of a start is about to write its
    record, and is waited for, 5 s at most. Records that claim a run but do not match are set aside as `….stale` and
    reported.
    """
    _await_births(run_dir)
    _sweep(run_dir)
    found = []
    for path in sorted(run_dir.glob("ollama-*.json")):
        record = read_record(path)
        if record and record.ended_at:
            continue
        if record and _is_ours(record, run_dir):
            found.append(Managed(path, record, grace))
        else:
            _set_aside(path, record)
    return found


def _await_births(run_dir: Path) -> None:
    deadline = time.monotonic() + _BIRTH_SECONDS
    for spec in run_dir.glob("ollama-*.spec.json"):
        while spec.exists() and _is_in_use(spec) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def _is_in_use(spec: Path) -> bool:
    return any(str(spec) in (process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))


def _sweep(run_dir: Path) -> None:
    """Delete what a killed sidecar or shim had no time to delete: specs, which may hold secrets, and drafts."""
    for path in run_dir.glob("ollama-*.spec.json"):
        if not unlink_file(str(path)):
            log.warning("%s cannot be deleted", path)
    _sweep_drafts(run_dir)


def _sweep_drafts(run_dir: Path) -> None:
    for draft in run_dir.glob("*.new"):
        # Its name ends in the writer's pid and `.new`; a living shim may be about to put it in place.
        writer = draft.name.split(".")[-2]
        with suppress(OSError):
            if writer.isdecimal() and birth(int(writer)) is None:
                unlink_file(str(draft))


def _is_ours(record: RunRecord, run_dir: Path) -> bool:
    if birth(record.shim_pid) != record.shim_birth:
        return False
    try:
        command = psutil.Process(record.shim_pid).cmdline()
        if not command or not {"core.shim", "--shim"} & set(command):
            return False
        # The same folder may have been named in another way: through a link, or on Windows by its short name.
        if not Path(command[-1]).parent.samefile(run_dir):
            return False
        if birth(record.pid) is None:
            return True
        return birth(record.pid) == record.birth and psutil.Process(record.pid).ppid() == record.shim_pid
    except (psutil.Error, OSError):
        return False


def _set_aside(path: Path, record: RunRecord | None) -> None:
    what = f"claims pid {record.pid}, which is not it" if record else "is damaged, or not ours"
    log.warning("run record %s %s; set aside, nothing was signalled", path.name, what)
    with suppress(OSError):
        path.replace(path.with_suffix(".stale"))
