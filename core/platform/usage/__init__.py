"""What processes take of this machine: equal names on each system, and cheap enough for each second. Not for the shim.

- `descendants(pid)`: the pids below that process, its children first; empty if there is none such.
- `measure(pid)`: a `Usage`, or None if no such process lives or it may not be looked at.
- `command_of(pid)`: its command line, empty if it may not be read.

Everything here blocks for less than a millisecond a process: call it in a thread. Pids are for looking: nothing may be
signalled by one of these.
"""

from __future__ import annotations

import sys

from core.platform.usage.facts import Usage

if sys.platform == "linux":
    from core.platform.usage.linux import command_of, descendants, measure
else:
    from core.platform.usage.others import command_of, descendants, measure

__all__ = ["Usage", "command_of", "descendants", "measure"]
