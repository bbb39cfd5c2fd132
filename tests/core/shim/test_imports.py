"""What a shim has in memory: the standard library and as little of ours as it needs, since there is one per Ollama.

And what the sidecar has of the shim: the words of its files, not its work.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LIST = "import sys; before = set(sys.modules); import core.shim.main; print(*sorted(set(sys.modules) - before))"
# Our own rooms that a shim needs. `core.platform` also brings the modules of the system that it runs on.
ROOMS = ("core.shim", "core.logs", "core.files", "core.platform")
# The sidecar's own, or large for what a shim would do with them: `subprocess` alone costs 0.6 MiB and 7 ms.
# Windows needs that one to start the program.
NOT_IN_A_SHIM = {"asyncio", "pathlib", "logging", "socket", "ssl", "typing"} | (
    {"subprocess"} if sys.platform != "win32" else set()
)


def test_a_shim_imports_the_standard_library_and_its_own_rooms_only() -> None:
    run = subprocess.run([sys.executable, "-S", "-E", "-c", LIST], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = run.stdout.split()
    ours = [name for name in modules if name.partition(".")[0] in ("core", "api", "tray")]
    assert [name for name in ours if name != "core" and not name.startswith(ROOMS)] == []
    tops = {name.partition(".")[0] for name in modules} - {"core"}
    assert tops - set(sys.stdlib_module_names) == set()
    assert tops & NOT_IN_A_SHIM == set()
    assert [name for name in ours if name.startswith(("core.platform.desktop", "core.platform.sockets"))] == []


def test_the_sidecar_imports_no_more_of_the_shim_than_its_spec_and_its_record() -> None:
    code = "import sys, api.__main__; print(*sorted(name for name in sys.modules if name.startswith('core.shim')))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["core.shim", "core.shim.record", "core.shim.spec"]
