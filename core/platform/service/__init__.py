"""Us as a service of this user: systemd's user manager, launchd, Windows' Task Scheduler. Equal names on each system.

Not part of `core.platform` itself, which the shim imports and which therefore stays small. Every function blocks, up
to a minute: call none on a loop. `Refused`, an OSError whose text is sentences with the way out, is raised where the
manager cannot be asked or refuses. `mark` knows our entries. What a running sidecar tells its manager is in
`core.platform.notify`, for which nothing of this room has to be imported.

- `MANAGER`: the manager's name for a person.
- `text(command, log)`: the entry that runs `command`, which begins with an absolute path, at each login. It is marked
  as ours. `log` is a file for what it prints, where the manager keeps no log of its own. Raises ValueError, a sentence.
- `entry()`: the entry of our name that is there, whoever has written it; None if there is none.
- `put(text)`: write it over what is there, have it run at each login from now on, and start it anew at once. Returns
  once the manager says that it runs, on Linux that it serves. If Refused is raised, the entry may be there already.
- `take_away()`: stop the sidecar, have it run at login no more, and delete the entry. Ollama goes on.
- `state()`: whether it is enabled and runs.
- `LINGERS`: how a person has it run without being logged in, in a sentence; "" where that is nothing to be chosen.
"""

from __future__ import annotations

import sys

from core.platform.service.state import Entry, Refused, State

if sys.platform == "win32":
    from core.platform.service.windows import LINGERS, MANAGER, entry, put, state, take_away, text
elif sys.platform == "darwin":
    from core.platform.service.darwin import LINGERS, MANAGER, entry, put, state, take_away, text
else:
    from core.platform.service.linux import LINGERS, MANAGER, entry, put, state, take_away, text

__all__ = ["LINGERS", "MANAGER", "Entry", "Refused", "State", "entry", "put", "state", "take_away", "text"]
