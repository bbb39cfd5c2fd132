"""Us as a service of this user: installed, removed and looked at. For the command line, not for a running sidecar.

- `install(paths)`, `uninstall()` and `look()` block, up to a minute.
- `core.platform.service` writes what the system reads; here is decided whether it may.
"""

from core.service.procedure import ServiceRefused, Shown, install, look, uninstall

__all__ = ["ServiceRefused", "Shown", "install", "look", "uninstall"]
