"""A container image with the real Ollama and a shell, as a tar file that Docker and Podman import.

It holds the bed of `ollama`, the libraries of this machine that it links, and Debian's busybox.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.beds import BedMissing, cache
from tests.beds.ollama import ollama

NAME = "aura-test-ollama:latest"
ENTRYPOINT = ["/bin/ollama"]
COMMAND = ["serve"]
_LDD_SECONDS = 30.0


def image_tar() -> Path:
    """The cached tar file, made on first use in a second. Raises `BedMissing`."""
    executable = ollama().executable
    if shutil.which("busybox") is None:
        raise BedMissing("there is no busybox: install Debian's package busybox-static")
    recipe = hashlib.sha256(executable.parent.name.encode() + Path(__file__).read_bytes()).hexdigest()[:12]
    return cache.built(f"container-image-{recipe}", lambda place: _pack(place, executable)) / "image.tar"


def _pack(place: Path, executable: Path) -> None:
    folder = executable.parent
    with tarfile.open(place / "image.tar", "w") as tar:
        for name in ("bin", "etc", "tmp", "root", "lib64", "usr", "usr/lib", "usr/lib/ollama"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(entry)
        for file in sorted(folder.iterdir()):
            if file.is_file():
                tar.add(file, f"usr/lib/ollama/{file.name}")
        for library in _linked(executable):
            tar.add(library.resolve(), str(library).removeprefix("/"))
        tar.add(Path(shutil.which("busybox") or "").resolve(), "bin/busybox")
        for name, target in (("bin/sh", "busybox"), ("bin/ollama", "../usr/lib/ollama/ollama")):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)


def _linked(executable: Path) -> set[Path]:
    """The libraries of this machine that it needs, by ldd; those beside it are left out."""
    told = subprocess.run(["ldd", executable], capture_output=True, text=True, timeout=_LDD_SECONDS, check=True).stdout
    words = {word for line in told.splitlines() for word in line.split() if word.startswith("/")}
    return {Path(word) for word in words if not word.startswith(str(executable.parent))}
