"""Who listens on this machine. Two functions, equal on every platform.

Not part of `core.platform` itself, which the shim imports and which therefore stays small.

- `listening(port)`: each socket that listens on that TCP port, as its IP address in text and its process, None for one
  that may not be known. Blocks on the system's table: call it in a thread. Raises OSError where there is none.
- `are_held_by(port, pids)`: whether anything listens on that TCP port, and those processes hold all that does. False
  too where that cannot be told without the system's table, as everywhere but on Linux. Blocks for less than a ms.
"""

from __future__ import annotations

import sys
from collections.abc import Collection

if sys.platform == "win32":
    from core.platform.sockets.windows import listening
else:
    from core.platform.sockets.posix import listening

if sys.platform == "linux":
    from core.platform.sockets.held_linux import are_held_by
else:

    def are_held_by(port: int, pids: Collection[int]) -> bool:
        """False: only the whole table tells."""
        return False


__all__ = ["are_held_by", "listening"]
