"""Which processes are asked for the mark of a tree: it is read from each one's environment, which takes long."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from core.platform import linux
from tests.beds.sidecar import CHECKOUT

assert sys.platform == "linux"

# Python calls an audit hook for every file that is opened, and never lets go of one.
SEARCH = """
import os, re, sys
from core.platform import birth
from core.platform.posix_members import Members, mark_of

asked = set()

def note(event, arguments):
    if event == "open" and (found := re.match(r"/proc/([0-9]+)/environ", str(arguments[0]))):
        asked.add(int(found[1]))

print("ready", flush=True)
sys.stdin.readline()
sys.addaudithook(note)
Members(os.getsid(0), mark_of(os.getpid(), birth(os.getpid()))).find()
print(*asked, flush=True)
"""


def born_at(pid: int) -> float | None:
    """When that process was started, None if it has ended meanwhile."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def test_only_what_is_as_young_as_the_shim_is_asked_for_its_mark() -> None:
    """Of all others nothing can descend from it."""
    command = [sys.executable, "-c", SEARCH]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdin=pipe, stdout=pipe, text=True, start_new_session=True
    ) as searching:
        assert searching.stdin is not None
        assert searching.stdout is not None
        assert searching.stdout.readline() == "ready\n"
        with subprocess.Popen(["/bin/sleep", "600"], start_new_session=True) as younger:
            try:
                born = psutil.Process(searching.pid).create_time()
                older = {pid for pid in psutil.pids() if (it := born_at(pid)) is not None and it < born}
                searching.stdin.write("\n")
                searching.stdin.close()
                asked = set(map(int, searching.stdout.read().split()))
            finally:
                younger.kill()
    assert younger.pid in asked
    assert {1, os.getpid()} <= older
    assert not asked & older


@pytest.mark.parametrize(
    ("birth", "other", "is_so"),
    [
        ("a-b:99", "a-b:100", True),
        ("a-b:100", "a-b:100", False),
        ("a-b:101", "a-b:100", False),
        ("a-b:99", "a-c:100", False),
        ("a-b:99", "", False),
        ("", "a-b:100", False),
        ("", "", False),
    ],
)
def test_which_of_two_is_older_is_told_by_the_clock_ticks_of_one_boot(birth: str, other: str, *, is_so: bool) -> None:
    assert linux.is_older(birth, other) is is_so
