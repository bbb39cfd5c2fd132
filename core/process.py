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
from core.errors import SpawnFailed, StopFailed
from core.platform import GUARDED, ExitWatch, ask_shim, birth, kill, make_private_dir, spawn_shim
from core.shim import SHIM_KILLED
from core.state import Exit

log = logging.getLogger(__name__)

ACCESS_DENIED = "Access denied. Please run as administrator or check file permissions."
_HAND_OVER_SECONDS = 10.0
_STOP_MARGIN_SECONDS = 6.0
_BURIAL_SECONDS = 4.0
_LAST_WORDS_SECONDS = 0.5
_POLL_SECONDS = 0.02
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
        record = await self._final_record()
        self._ended.set()
        return Exit(record.exit_code, record.reason or SHIM_KILLED, record.ended_at, record.last_lines)

    async def _final_record(self) -> RunRecord:
        # A killed shim's guard needs a moment to stop the tree and to say so.
        deadline = time.monotonic() + (_BURIAL_SECONDS if GUARDED else 0.0)
        while True:
            record = await asyncio.to_thread(read_record, self._path)
            if record and record.shim_pid == self.record.shim_pid and record.ended_at:
                return record
            if time.monotonic() > deadline:
                return self.record
            if not await asyncio.to_thread(birth, self.record.pid):
                # Nothing is left to stop, so a guard that lives needs no more than a moment for its words.
                deadline = min(deadline, time.monotonic() + _LAST_WORDS_SECONDS)
            await asyncio.sleep(_POLL_SECONDS)

    async def stop(self) -> None:
        """Ask the shim to stop its tree, and kill the shim if it does not obey: its guard ends the tree then.

        Needs `watch` to be running. Raises StopFailed if the tree outlives even that.
        """
        shim = self.record.shim_pid, self.record.shim_birth
        await asyncio.to_thread(ask_shim, *shim, self.record.stop_event)
        if await self.gone(self.grace + _STOP_MARGIN_SECONDS):
            return
        await asyncio.to_thread(kill, *shim)
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
    """Return once that process has ended. It need not be a child of ours."""
    gone = ExitWatch(pid, birth)
    waiting = asyncio.create_task(asyncio.to_thread(gone.wait))
    try:
        await asyncio.shield(waiting)
    finally:
        gone.cancel()
        await waiting
        gone.close()


def record_path(run_dir: Path, port: int) -> Path:
    """Where the run record of the Ollama on that port lies."""
    return run_dir / f"ollama-{port}.json"


def read_record(path: Path) -> RunRecord | None:
    """The run record, None if there is none or it is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunRecord)
    except (OSError, msgspec.MsgspecError):
        return None


async def spawn(plan: Plan) -> Managed:
    """Start a shim with its Ollama. Raises SpawnFailed, with nothing left running."""
    spec = await asyncio.to_thread(_write_spec, plan)
    reader, writer = os.pipe()
    try:
        popen = await asyncio.to_thread(_start_shim, spec, writer)
    except OSError as error:
        os.close(reader)
        spec.unlink(missing_ok=True)
        raise SpawnFailed(f"The shim could not be started: {error}") from error
    finally:
        os.close(writer)
    record = await _take_over(reader, popen)
    return Managed(record_path(plan.run_dir, plan.port), record, plan.grace, popen)


def _start_shim(spec: Path, output: int) -> Popen[bytes]:
    """Raises OSError, also if a frozen program's shim cannot be copied."""
    if getattr(sys, "frozen", False):
        executable = bundle.shim_executable(spec.parent) or sys.executable
        # Nor may it stand in the program's folder: Windows would not let that be replaced either.
        return spawn_shim([str(executable), "--shim", str(spec)], str(spec.parent), output)
    # On Windows the executable of a virtual environment is a launcher, which would be one more process.
    python = getattr(sys, "_base_executable", sys.executable)
    # No site packages and no PYTHON* variables: the shim needs the standard library only, and starts faster.
    return spawn_shim([python, "-S", "-s", "-E", "-m", "core.shim", str(spec)], str(_PACKAGE_ROOT), output)


def _write_spec(plan: Plan) -> Path:
    make_private_dir(str(plan.run_dir))
    path = plan.run_dir / f"ollama-{plan.port}.spec.json"
    spec = {
        "argv": [str(plan.executable), "serve"],
        "env": dict(plan.env),
        "cwd": str(plan.run_dir),
        "logs": str(plan.logs),
        "caps": dict(plan.caps),
        "record": str(record_path(plan.run_dir, plan.port)),
        "grace": plan.grace,
        "stopEvent": f"Local\\aura-ollama-{uuid.uuid4().hex}",
        "port": plan.port,
        "url": plan.url,
    }
    private_file.write(str(path), json.dumps(spec))
    return path


async def _take_over(reader: int, popen: Popen[bytes]) -> RunRecord:
    reading = asyncio.create_task(asyncio.to_thread(_read_answer, reader))
    done, _ = await asyncio.wait([reading], timeout=_HAND_OVER_SECONDS)
    if not done:
        # Not reaped yet, so its pid cannot be another's.
        popen.kill()
    text = await reading
    try:
        answer = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        if "record" in answer:
            return msgspec.json.decode(answer["record"], type=RunRecord)
        error = msgspec.json.decode(answer["error"], type=_ShimError)
    except (msgspec.MsgspecError, KeyError):
        error = _ShimError(text=text.decode(errors="replace").strip().rpartition("\n")[2] or "the shim said nothing")
    await asyncio.to_thread(popen.wait)
    raise SpawnFailed(error.sentence())


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
    the Ollama is the shim's child. Records that claim a run but do not match are set aside as `….stale` and reported.
    """
    found = []
    for path in sorted(run_dir.glob("ollama-*.json")):
        if path.name.endswith(".spec.json"):
            continue
        record = read_record(path)
        if record and record.ended_at:
            continue
        if record and _is_ours(record, run_dir):
            found.append(Managed(path, record, grace))
        else:
            _set_aside(path, record)
    return found


def _is_ours(record: RunRecord, run_dir: Path) -> bool:
    if birth(record.shim_pid) != record.shim_birth:
        return False
    try:
        command = psutil.Process(record.shim_pid).cmdline()
        if not command or Path(command[-1]).parent != run_dir or not {"core.shim", "--shim"} & set(command):
            return False
        if birth(record.pid) is None:
            return True
        return birth(record.pid) == record.birth and psutil.Process(record.pid).ppid() == record.shim_pid
    except (psutil.Error, OSError):
        return False


def _set_aside(path: Path, record: RunRecord | None) -> None:
    what = f"claims pid {record.pid}, which is not it" if record else "is damaged"
    log.warning("run record %s %s; set aside, nothing was signalled", path.name, what)
    with suppress(OSError):
        path.replace(path.with_suffix(".stale"))
