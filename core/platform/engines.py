"""Where container engines have their sockets on this system. Not for the shim.

- `known_sockets()`: URLs of sockets, `unix://PATH` or `npipe://PATH`, in the order in which to look; there may be none.
- `has_socket(url)`: whether something is there. Blocks; call it in a thread.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

UNIX = "unix://"
PIPE = "npipe://"

if sys.platform == "win32":
    LOCAL = PIPE

    def known_sockets() -> tuple[str, ...]:
        """Contract: the module's docstring. Docker Desktop's pipe, and that of Podman's default machine."""
        return f"{PIPE}//./pipe/docker_engine", f"{PIPE}//./pipe/podman-machine-default"

    def has_socket(url: str) -> bool:
        """Contract: the module's docstring."""
        path = url.removeprefix(PIPE).replace("/", "\\")
        # Asking for one pipe by its name would take one of its instances, so the names are listed.
        try:
            return Path(path).name in os.listdir("\\\\.\\pipe\\")
        except OSError:
            return True
else:
    LOCAL = UNIX

    def known_sockets() -> tuple[str, ...]:
        """Contract: the module's docstring. Root's engines, then those of this user."""
        own = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
        places = ["/var/run/docker.sock", f"{own}/docker.sock", f"{own}/podman/podman.sock", "/run/podman/podman.sock"]
        if sys.platform == "darwin":
            machine = Path.home() / ".local/share/containers/podman/machine/podman.sock"
            places = ["/var/run/docker.sock", str(Path.home() / ".docker/run/docker.sock"), str(machine)]
        return tuple(UNIX + place for place in places)

    def has_socket(url: str) -> bool:
        """Contract: the module's docstring."""
        try:
            return Path(url.removeprefix(UNIX)).exists()
        except PermissionError:
            # Its folder is closed to this user, as that of root's Podman is. To open it says so in words.
            return True
