"""What `aura-ollama status` takes, beside a Python that does nothing: pairs by turns, and the ratio of each pair.

Run from the top of the checkout: `python -m bench.status [--pairs 40]`. A sidecar with a real Ollama answers. The
target is six times that Python at most, or 0.12 s where it takes 0.02; tests/cli/test_imports.py holds what decides it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.beds.ollama import ollama
from tests.beds.sidecar import CHECKOUT, Sidecar
from tests.beds.wire import call, free_port

MOST = 6.0


def taken(command: Sequence[str]) -> float:
    """Seconds from its start to its end."""
    began = time.perf_counter()
    subprocess.run(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> int:
    """Print the medians and the ratio. 1 if that is above the target."""
    parser = argparse.ArgumentParser(prog="python -m bench.status", description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=40)
    options = parser.parse_args()
    with TemporaryDirectory() as top:
        root = Path(top)
        with Sidecar(root, executable=ollama().executable, models=root / "models", ollama_port=free_port()) as sidecar:
            assert call("POST", f"{sidecar.url}/api/ollama/start", timeout=60).status == 200
            ours = [sys.executable, "-m", "cli", "status", "--data-dir", top]
            nothing = [sys.executable, "-c", "pass"]
            # The first of each compiles and fills caches.
            taken(ours), taken(nothing)
            pairs = [(taken(ours), taken(nothing)) for _ in range(options.pairs)]
    status, python = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(each / nothing for each, nothing in pairs)
    print(
        f"status {status * 1000:.0f} ms, python -c pass {python * 1000:.0f} ms, ratio {ratio:.2f} (at most {MOST:.0f})"
    )
    return 0 if ratio <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
