"""A real Ollama 0.9.3 for Windows x86-64, CPU only, put together on Linux from the same wheels as the one for Linux.

The wheel's GPU backend and its SYCL runtime are replaced by libraries of the same names in which every function does
nothing; mingw makes them.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.beds import BedMissing, cache, wheels
from tests.beds.ollama import VERSION
from tests.beds.wheels import Wheel

COMPILE_DEADLINE = 60.0
COMPILER = "x86_64-w64-mingw32-gcc"
READER = "x86_64-w64-mingw32-objdump"
MINGW = "gcc-mingw-w64-x86-64"

WHEELS = (
    Wheel(
        "bigdl-core-cpp==2.7.0b20251029",
        "088387d098da0340826f727355e1eef8cbbb6a249fd33854782e431fa009883b",
        folder="libs/ollama",
        left_out=frozenset({"ggml-sycl.dll"}),
    ),
    Wheel(
        "intel-cmplr-lib-rt==2025.0.4",
        "a826508b902318e015f5414e944d8e5eb3436264e44fe1db8ebecc91820bb53e",
        members=frozenset({"libmmd.dll", "svml_dispmd.dll"}),
    ),
    Wheel(
        "intel-openmp==2025.0.4",
        "9dd9c2918158bd19395f28ee2e4b91c00bd86fe45b627e765f611478c7c2c173",
        members=frozenset({"libiomp5md.dll"}),
    ),
)

NOTHING = "long long nothing(void) { return 0; }\nvoid *no_data[64];\n"
STUBBED = ("ggml-sycl.dll", "sycl8.dll")
# The letters after `??_` in a decorated name that make it a table and no function:
# https://en.wikiversity.org/wiki/Visual_C%2B%2B_name_mangling
TABLES = frozenset("78R")

RANDOM_BYTES = """
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T count) { return SystemFunction036(bytes, count); }
"""


def ollama_for_windows() -> Path:
    """The cached folder: `ollama.exe` is the Go program, `wrap/ollama.exe` the wheel's front. Raises `BedMissing`."""
    for tool in (COMPILER, READER):
        if shutil.which(tool) is None:
            raise BedMissing(f"the real Ollama for Windows needs `{tool}` to be built (Debian: {MINGW})")
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    return cache.built(f"ollama-windows-{VERSION}-{recipe}", _build)


def add_random_numbers(system: Path) -> None:
    """Give a Wine that has none (8.0) the library from which Go takes its random numbers; `system` is its system32."""
    library = system / "bcryptprimitives.dll"
    if not library.exists():
        _compile(RANDOM_BYTES, library, "-ladvapi32")


def _build(place: Path) -> None:
    wheels.unpack(WHEELS, place, platform="win_amd64")
    users = [*place.glob("*.dll"), place / "ollama-lib.exe"]
    for name in STUBBED:
        _make_stub(place / name, {symbol for user in users for symbol in _imports(user, name)})
    _lay_out_both_ways(place)


def _imports(user: Path, library: str) -> Iterator[str]:
    """What the program or library `user` takes from `library`, out of objdump's list of its imports."""
    ours = False
    for line in wheels.run([READER, "-p", str(user)], COMPILE_DEADLINE, "objdump failed").splitlines():
        if "DLL Name:" in line:
            ours = line.rpartition(":")[2].strip().lower() == library
        words = line.split()
        # Address, number and name; the table's own head looks like that too.
        if ours and line.startswith("\t") and len(words) == 3 and words[0] != "vma:":
            yield words[2]


def _make_stub(library: Path, symbols: set[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="aura-stub-") as scratch:
        exports = Path(scratch, "exports.def")
        lines = [f'LIBRARY "{library.name}"', "EXPORTS"]
        for symbol in sorted(symbols):
            is_table = symbol.startswith("??_") and symbol[3] in TABLES
            lines.append(f'  "{symbol}" = {"no_data DATA" if is_table else "nothing"}')
        exports.write_text("\n".join(lines) + "\n")
        _compile(NOTHING, library, str(exports))


def _compile(source: str, library: Path, *more: str) -> None:
    with tempfile.TemporaryDirectory(prefix="aura-stub-") as scratch:
        program = Path(scratch, "source.c")
        program.write_text(source)
        command = [COMPILER, "-shared", "-o", str(library), str(program), *more]
        wheels.run(command, COMPILE_DEADLINE, f"mingw cannot make {library.name}")


def _lay_out_both_ways(place: Path) -> None:
    wrap = place / "wrap"
    wrap.mkdir()
    (place / "ollama.exe").rename(wrap / "ollama.exe")
    (place / "ollama-lib.exe").rename(place / "ollama.exe")
    (wrap / "ollama-lib.exe").hardlink_to(place / "ollama.exe")
    for library in place.glob("*.dll"):
        (wrap / library.name).hardlink_to(library)
