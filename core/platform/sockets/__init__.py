"""Who listens on this machine. One function, equal on every platform.

Not part of `core.platform` itself, which the shim imports and which therefore stays small.

- `listening(port)`: each socket that listens on that TCP port, as its IP address in text and its process, None for one
  that may not be known. Blocks on the system's table: call it in a thread. Raises OSError where there is none.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from core.platform.sockets.windows import listening
else:
    from core.platform.sockets.posix import listening

__all__ = ["listening"]
