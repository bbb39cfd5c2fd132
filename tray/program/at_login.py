"""How this program is started at login: as it was started now, with the same data folder and the same port."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

import icons
from core.platform import desktop
from core.settings.paths import Paths


def options_again(options: argparse.Namespace, paths: Paths) -> Sequence[str]:
    """The arguments by which a program whose session knows nothing of ours serves the same folder at the same place.

    What was not told is left out, and so follows the settings. AURA_DATA_PATH becomes an option, since it may have been
    set for this program alone; a relative folder becomes absolute, since a session starts programs elsewhere.
    """
    again = []
    if options.data_dir or os.environ.get("AURA_DATA_PATH"):
        again += ["--data-dir", str(paths.root)]
    if options.port is not None:
        again += ["--port", str(options.port)]
    if options.host:
        again += ["--host", options.host]
    if options.verbose:
        again.append("--verbose")
    return again


def start(options: argparse.Namespace, paths: Paths) -> None:
    """Write the entry by which the session starts us from the next login on. Blocks; raises OSError."""
    command = [*desktop.login_command(), *options_again(options, paths)]
    desktop.start_at_login(command, str(icons.path(icons.APP, 256)))
