"""Libraries in C that stand between a program and the C library, by LD_PRELOAD. Linux with gcc."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from tests.beds import BedMissing, cache


def preloaded(name: str, source: str) -> dict[str, str]:
    """The environment in which every program has the library made from `source`, which is built once and kept.

    `name` is what the cache and the message of an error call it. Raises `BedMissing` where there is no Linux or no gcc,
    or if gcc refuses the source.
    """

    def build(place: Path) -> None:
        command = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(place / "library.so"), "-xc", "-"]
        try:
            subprocess.run(command, input=source, capture_output=True, text=True, timeout=60, check=True)
        except subprocess.CalledProcessError as failure:
            raise BedMissing(f"gcc cannot make {name}: {failure.stderr}") from failure
        except OSError as failure:
            raise BedMissing(f"{name} needs gcc and libc6-dev") from failure

    if sys.platform != "linux":
        raise BedMissing(f"{name} needs Linux")
    recipe = hashlib.sha256(source.encode()).hexdigest()[:12]
    return {"LD_PRELOAD": str(cache.built(f"preload-{name}-{recipe}", build) / "library.so")}
