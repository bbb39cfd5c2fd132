"""Start and stop an Ollama that shall listen at `[::]`, on a machine without IPv6: in a network of its own.

`unshare --net python -m tests.core.ollama.without_ipv6 ROOT EXECUTABLE` prints the states. Root on Linux only.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
from pathlib import Path

from tests.rig import Rig

if sys.platform == "win32":
    raise ImportError("This module is for Linux only")

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def _have_ipv4_alone() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")


async def _start_and_stop(root: Path, executable: Path) -> None:
    rig = Rig(root, executable)
    rig.url = f"http://[::]:{rig.port}"
    rig.configure()
    async with rig.supervising() as supervisor:
        print((await supervisor.start()).state)
        print((await supervisor.stop()).state)


if __name__ == "__main__":
    _have_ipv4_alone()
    asyncio.run(_start_and_stop(Path(sys.argv[1]), Path(sys.argv[2])))
