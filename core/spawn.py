"""Starts one shim with its Ollama, and hears from it how that went.

Blocking work runs in threads; the coroutine belongs to the supervisor's loop.
"""

from __future__ import annotations

import asyncio
import errno
import json
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

from core import bundle, os_error, private_file, program
from core.decode import from_json
from core.errors import SpawnFailed
from core.platform import birth, end_orphans, has_guard, make_private_dir, spawn_shim
from core.process import WAYS_OUT, Managed
from core.run_record import RunRecord, record_path, spec_path, sweep

ACCESS_DENIED = "Access denied. Please run as administrator or check file permissions."
_HAND_OVER_SECONDS = 10.0
_BURIAL_SECONDS = 5.0
_POLL_SECONDS = 0.02
_PACKAGE_ROOT = Path(__file__).resolve().parent.parent


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


async def spawn(plan: Plan) -> Managed:
    """Start a shim with its Ollama. Raises SpawnFailed, with nothing left running."""
    spec = spec_path(plan.run_dir, plan.port)
    try:
        reader, popen = await _start_shim(plan, spec)
        record = await _take_over(reader, popen, plan.executable)
    finally:
        # The shim deletes it once read, but may have been killed before, or while it wrote the record.
        await asyncio.to_thread(sweep, plan.run_dir)
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
        why = os_error.in_words(error)
        raise SpawnFailed(f"The shim could not be started: {why}", action=WAYS_OUT.get(error.errno or 0)) from error
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


async def _take_over(reader: int, popen: Popen[bytes], executable: Path) -> RunRecord:
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
    sentence = await asyncio.to_thread(error.sentence, executable)
    raise SpawnFailed(sentence, action=WAYS_OUT.get(error.errno or 0))


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

    def sentence(self, executable: Path) -> str:
        # Windows does not say which file it would not run.
        if self.path in (str(executable), None) and (why := program.why_not(executable)):
            return f"{executable} cannot be run: {why}."
        if self.errno in (errno.EACCES, errno.EPERM):
            return f"{ACCESS_DENIED} It is refused at {self.path or executable}."
        return f"Ollama could not be started: {self.text}" + (f" ({self.path})" if self.path else "")
