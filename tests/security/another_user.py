"""What another user of this machine can do: a program of theirs, and files that they planted. As root only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    raise ImportError("These users are POSIX's")

NOBODY = 65534
# Sends standard input to a port of this machine, and says what comes back; or, told "leave", is gone at once.
CALLER = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=8) as connection:
    connection.sendall(sys.stdin.buffer.read())
    while sys.argv[2] == "stay" and (part := connection.recv(65536)):
        sys.stdout.buffer.write(part)
"""


def require_root() -> None:
    """Skip a test that needs a second user; in CI, where we are root, fail it."""
    if os.geteuid() != 0:
        reason = "only root can act as another user"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


def speak_as_nobody(port: int, request: bytes, *, stay: bool = True) -> bytes:
    """What a program of user `nobody` gets back for these bytes; nothing if it does not stay for the answer."""
    command = ["/usr/bin/env", "python3", "-I", "-S", "-c", CALLER, str(port), "stay" if stay else "leave"]
    done = subprocess.run(
        command,
        input=request,
        stdout=subprocess.PIPE,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        timeout=9,
        check=True,
    )
    return done.stdout


def give_to_nobody(path: Path) -> None:
    """Make it theirs, as if they had put it there."""
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
