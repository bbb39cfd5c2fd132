"""NVIDIA's processors through the real binding, by a driver library that the test compiles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.platform.gpu import Gpu

_READ_TWICE = """
import dataclasses, json
from core.platform.gpu.nvidia import Nvidia
reader = Nvidia()
first = reader.read()
reader.close()
print(json.dumps([[dataclasses.asdict(gpu) for gpu in read] for read in (first, reader.read())]))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the library."""
    return stub_library(tmp_path_factory.mktemp("nvml"))


def stub_library(folder: Path) -> Path:
    """Compile the driver's library into that folder, and return it."""
    source = Path(__file__).with_name("stub_nvml.c")
    command = ["gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(folder / "libnvidia-ml.so.1"), str(source)]
    subprocess.run(command, check=True, timeout=30)
    return folder


def _read(library: Path | None, fails: str = "") -> tuple[list[list[Gpu]], str]:
    """What two reads tell, with a close between them, and what was logged."""
    env = {**os.environ, "STUB_NVML": fails}
    if library:
        env["LD_LIBRARY_PATH"] = str(library)
    done = subprocess.run(
        [sys.executable, "-c", _READ_TWICE], env=env, capture_output=True, text=True, check=True, timeout=30
    )
    return [[Gpu(**fields) for fields in read] for read in json.loads(done.stdout)], done.stderr


def test_what_the_driver_tells_is_told_and_the_rest_is_absent(library: Path) -> None:
    """Two cards; the second knows its name and memory alone. After a close they are read again."""
    told, logged = _read(library)
    full = Gpu("GPU-0f0f0f0f", "Stub RTX 9090", "nvidia", 24 << 30, 5 << 30, 0.42, 61.0, 123.456)
    assert told == [[full, Gpu("nvidia-1", "Stub GT 30", "nvidia", 2 << 30, 0)]] * 2
    assert logged == ""


@pytest.mark.parametrize("has_library", [True, False])
def test_no_driver_is_no_card_and_no_error(library: Path, has_library: bool) -> None:
    """Neither a library whose driver is not loaded, nor no library."""
    assert _read(library if has_library else None, "init") == ([[], []], "")


def test_without_a_driver_its_binding_is_not_imported() -> None:
    look = "import sys; from core.platform.gpu.nvidia import Nvidia; Nvidia().read(); print('pynvml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "False\n"


def test_a_driver_that_fails_is_told_once(library: Path) -> None:
    """A card that fell off the bus: none are listed, one line is logged."""
    told, logged = _read(library, "lost")
    assert told == [[], []]
    assert logged.count("NVIDIA's driver") == 1
