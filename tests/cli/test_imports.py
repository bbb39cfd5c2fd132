"""`status` is fast because it imports little: counted here, timed in bench/measures/command.py."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.beds.ending import NO_WINDOW
from tests.beds.sidecar import CHECKOUT, Sidecar
from tests.cli.terminal import DEADLINE, environment

pytestmark = pytest.mark.timeout(60)
# What `site` brings along differs by machine, and is not ours.
_RUN = """
import sys
before = set(sys.modules)
sys.argv = ["aura-ollama", "status", "--json", *sys.argv[1:]]
from cli.__main__ import main
main()
import json
print(json.dumps(sorted(set(sys.modules) - before)), file=sys.stderr)
"""
HEAVY = {"PIL", "aiohttp", "asyncio", "dbus_fast", "filelock", "msgspec", "psutil", "pystray", "rich", "shtab", "yarl"}
MOST_MODULES = 185
"""On Linux it is 171 with Python 3.11, the standard library's own among them, and nothing in `site`."""


def test_status_imports_nothing_heavy_and_little_at_all(running: Sidecar) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _PATH + _RUN, "--data-dir", str(running.root)],
        cwd=CHECKOUT,
        env=environment(),
        capture_output=True,
        timeout=DEADLINE,
        check=False,
        creationflags=NO_WINDOW,
    )
    modules: list[str] = json.loads(done.stderr.splitlines()[-1])
    assert {module.partition(".")[0] for module in modules} & HEAVY == set()
    assert json.loads(done.stdout)["running"] is True
    assert len(modules) <= MOST_MODULES, modules
    assert {"tray", "api"}.isdisjoint(modules)


_PATH = f"import sys; sys.path[:0] = {[str(CHECKOUT), *filter(None, sys.path)]!r}\n"
