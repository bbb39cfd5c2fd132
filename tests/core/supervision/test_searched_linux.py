"""What a start looks at is counted, since it decides how soon Ollama is told of as ready."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import fake_ollama
from tests.beds.sidecar import CHECKOUT
from tests.rig import Rig


def test_a_start_searches_no_process_but_its_own(tmp_path: Path) -> None:
    """The descriptors of all others are many times as many, and take longer to read than Ollama takes to start."""
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    command = [sys.executable, str(Path(__file__).with_name("searched.py")), str(rig.root)]
    done = subprocess.run(
        command, cwd=CHECKOUT, env={"PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True, timeout=60, check=True
    )
    ollama, *searched = done.stdout.split()
    assert searched == [ollama]
