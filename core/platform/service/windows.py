"""Windows: a task of the Task Scheduler that runs at this user's logon. Contracts: `core.platform.service`.

It has the user's own rights. A real Windows service would run as another account, or need the user's password.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from core.platform.service import _tasks, texts
from core.platform.service.mark import Origin
from core.platform.service.state import Entry, Refused, State

assert sys.platform == "win32"

MANAGER = "Windows' Task Scheduler"
LINGERS = "It runs while you are logged on, and so does an Ollama that it starts."
_E_ACCESSDENIED = 0x8007_0005 - (1 << 32)


def text(command: list[str], log: str) -> str:
    domain, name = os.environ.get("USERDOMAIN"), os.environ["USERNAME"]
    return texts.logon_task(command, f"{domain}\\{name}" if domain else name)


def entry() -> Entry | None:
    with _in_words():
        found = _tasks.xml(texts.TASK)
    # The Task Scheduler writes the text anew, so that a checksum of it would not hold.
    whose = Origin.OURS if found and f">{texts.TASK_SOURCE}<" in found else Origin.FOREIGN
    return None if found is None else Entry(f"the task {texts.TASK!r}", whose)


def put(text: str) -> None:
    with _in_words():
        if _tasks.runs(texts.TASK):
            _tasks.stop(texts.TASK)
        _tasks.register(texts.TASK, text)
    try:
        _tasks.run(texts.TASK)
    except OSError as error:
        raise Refused(
            f"The task is there, and could not be started now ({error.strerror}); it starts at your next logon."
        ) from error


def take_away() -> None:
    with _in_words():
        if _tasks.runs(texts.TASK):
            _tasks.stop(texts.TASK)
        _tasks.delete(texts.TASK)


def state() -> State:
    with _in_words():
        runs = _tasks.runs(texts.TASK)
        return State(_tasks.is_enabled(texts.TASK), bool(runs), None, "running" if runs else "not running")


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.winerror == _E_ACCESSDENIED:
            raise Refused(
                "Windows does not let this account change its tasks. Run the command once more in a terminal that was "
                "opened with `Run as administrator`, or have the tray start at login instead, by its menu."
            ) from error
        raise Refused(f"The Task Scheduler failed: {error.strerror} ({error.winerror or 0:#x}).") from error
