"""A network drive for a test: SFTP over a loopback connection, mounted by sshfs without ssh. Linux, as root."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.beds import BedMissing

_SERVER = Path("/usr/lib/openssh/sftp-server")
_DEADLINE = 10.0


@contextmanager
def network_disk(at: Path) -> Iterator[Path]:
    """Have a folder of a server at the folder `at`, which is made. Gone with the block.

    Raises `BedMissing` where it cannot be had.
    """
    if sys.platform != "linux" or not shutil.which("sshfs") or not _SERVER.exists():
        raise BedMissing("a network drive needs Linux, sshfs and openssh-sftp-server")
    source = at.with_name(f"{at.name}-source")
    source.mkdir()
    at.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        served: list[subprocess.Popen[bytes]] = []

        def serve() -> None:
            # It ends once the server is closed, as it is if the mount fails.
            connection, _ = listening.accept()
            with connection:
                served.append(subprocess.Popen([_SERVER], stdin=connection.fileno(), stdout=connection.fileno()))

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        port = listening.getsockname()[1]
        mounted = subprocess.run(
            ["sshfs", "-o", f"directport={port}", f"127.0.0.1:{source}", str(at)],
            capture_output=True,
            text=True,
            timeout=_DEADLINE,
            check=False,
        )
        if mounted.returncode != 0:
            with socket.create_connection(listening.getsockname()):
                server.join()
            raise BedMissing(f"a network drive cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], capture_output=True, check=False)
        server.join()
        for process in served:
            process.wait(_DEADLINE)
        deadline = time.monotonic() + _DEADLINE
        while os.path.ismount(at) and time.monotonic() < deadline:
            time.sleep(0.005)
