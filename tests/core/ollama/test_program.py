"""Why a file that is there and may be executed cannot be run, as the system itself refuses each of them."""

from __future__ import annotations

import os
import platform
import shutil
import struct
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from core.errors import SpawnFailed
from core.ollama import program
from tests import tied
from tests.beds.bound_disk import bound_disk
from tests.beds.require import require
from tests.rig import Rig

NAME = "ollama.exe" if sys.platform == "win32" else "ollama"


def elf(machine: int = 62, loader: bytes | None = None, order: str = "<") -> bytes:
    """The head of a 64-bit ELF file with one program header, if it has a loader."""
    count = 0 if loader is None else 1
    ident = b"\x7fELF\x02" + (b"\1" if order == "<" else b"\2") + b"\1" + bytes(9)
    head = ident + struct.pack(f"{order}HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
    if loader is None:
        return head
    return head + struct.pack(f"{order}IIQQQQQQ", 3, 4, 120, 0, 0, len(loader) + 1, len(loader) + 1, 1) + loader + b"\0"


def pe(machine: int) -> bytes:
    """The head of a Windows program."""
    return b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + struct.pack("<H", machine)


MACHINE = {"x86_64": 62, "AMD64": 62, "aarch64": 183, "arm64": 183, "ARM64": 183}[platform.machine()]
OTHER_MACHINE, OTHER_NAME = (183, "ARM64") if MACHINE == 62 else (62, "x86_64")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html>", "it is no program"),
        (b"echo no first line\n", "it is no program"),
        (b"\xcf\xfa\xed\xfe" + bytes(30), "it is a program for macOS"),
        (pe(0x8664), "it is a program for Windows"),
        (elf()[:19], "it is damaged: the file is cut short"),
        (elf(MACHINE, b"/no/such/ld.so")[:100], "it is damaged: the file is cut short"),
        (elf(MACHINE, b"/no/such/ld.so")[:125], "it is damaged: the file is cut short"),
        (elf(MACHINE, b"/"), "its loader / is a folder"),
        (elf(OTHER_MACHINE), f"it is a program for {OTHER_NAME}"),
        (elf(0x1234, order=">"), "it is a program for processor 4660"),
        (elf(MACHINE, b"/no/such/ld.so"), "its loader /no/such/ld.so is missing"),
        (b"#!/no/such/shell -e\n", "its interpreter /no/such/shell is missing"),
        (b"#! /no/such/shell", "its interpreter /no/such/shell is missing"),
        (b"#!/bin/sh\r\necho\r\n", "its first line has a Windows line end (CR LF)"),
        (b"#!/tmp\n", "its interpreter /tmp is a folder"),
        (b"#!/dev/null\n", "its interpreter /dev/null is not a regular file"),
        (b"#!/etc/passwd\n", "its interpreter /etc/passwd is not executable"),
    ],
)
@tied.linux("what it runs is asked of it")
def test_each_is_told_apart_and_linux_refuses_each(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / NAME
    path.write_bytes(content)
    path.chmod(0o755)
    assert str(program.why_not(path)).startswith(why)
    with pytest.raises(
        OSError, match=r"No such file|Exec format|Invalid|Accessing a corrupted|Permission|Input/output"
    ):
        subprocess.run([path], check=False)


@tied.linux("what it runs is asked of it")
def test_an_interpreter_that_cannot_be_run_itself_is_told_with_its_own_reason(tmp_path: Path) -> None:
    inner, path = tmp_path / "inner", tmp_path / NAME
    inner.write_bytes(b"#!/no/such/shell\n")
    inner.chmod(0o755)
    path.write_bytes(b"#!%s\n" % os.fsencode(inner))
    path.chmod(0o755)
    why = program.why_not(path)
    assert why == f"its interpreter {inner} cannot be run: its interpreter /no/such/shell is missing"
    inner.write_bytes(b"#!%s\n" % os.fsencode(inner))
    assert str(program.why_not(path)).endswith("leads to too many others")
    with pytest.raises(OSError, match="Too many levels"):
        subprocess.run([path], check=False)


@tied.linux("macOS does not tell how a disk is mounted")
async def test_an_interpreter_on_a_disk_that_forbids_programs_is_named(tmp_path: Path) -> None:
    with ExitStack() as stack:
        disk = require(lambda: stack.enter_context(bound_disk(tmp_path / "disk", "-o", "noexec")))
        shell = disk.at / "shell"
        shutil.copy("/bin/sh", shell)
        path = tmp_path / NAME
        path.write_bytes(b"#!%s\n" % os.fsencode(shell))
        path.chmod(0o755)
        async with Rig(tmp_path / "rig", path).supervising() as supervisor:
            with pytest.raises(SpawnFailed) as caught:
                await supervisor.start()
    assert caught.value.message == (
        f"{path} cannot be run: its interpreter {shell} lies on a disk that is mounted with `noexec`."
    )


@tied.linux("these are its programs")
@pytest.mark.parametrize("content", [elf(MACHINE), elf(MACHINE, b"/bin/sh"), b"#!/bin/sh\n", b"#!  /bin/sh -e\n"])
def test_what_this_system_may_run_gets_no_reason(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / NAME
    path.write_bytes(content)
    assert program.why_not(path) is None


def test_the_running_python_gets_no_reason() -> None:
    assert program.why_not(Path(sys.executable)) is None


def test_a_file_that_cannot_be_read_gets_no_reason(tmp_path: Path) -> None:
    assert program.why_not(tmp_path / "none") is None


# One section of 512 bytes, from byte 1024 on, of which there is nothing.
CUT_SHORT_PE = pe(0x8664) + struct.pack("<H12xHH", 1, 0, 0) + bytes(16) + struct.pack("<II", 512, 1024) + bytes(16)

CANNOT_RUN = {
    "another processor's": (pe(0xAA64 if MACHINE == 62 else 0x8664) + bytes(200), "it is a program for"),
    "no program": (b"hello", "it is no program"),
    "empty": (b"", "it is empty"),
} | (
    {
        "cut short": (CUT_SHORT_PE, "it is damaged: the file is cut short"),
        "only begun": (b"MZ" + bytes(20), "it is damaged: the file is cut short"),
    }
    if sys.platform == "win32"
    else {
        "no loader": (elf(MACHINE, b"/no/such/ld.so"), "its loader /no/such/ld.so is missing"),
        "no interpreter": (b"#!/no/such/shell\n", "its interpreter /no/such/shell is missing"),
        "Windows line ends": (b"#!/bin/sh\r\n", "its first line has a Windows line end (CR LF)"),
        "an interpreter that is a folder": (b"#!/tmp\n", "its interpreter /tmp is a folder"),
        "an interpreter that is no program": (b"#!/etc/passwd\n", "its interpreter /etc/passwd is not executable"),
    }
)


@pytest.mark.parametrize("what", CANNOT_RUN)
async def test_a_start_of_what_cannot_be_run_says_why(tmp_path: Path, what: str) -> None:
    content, why = CANNOT_RUN[what]
    path = tmp_path / NAME
    path.write_bytes(content)
    path.chmod(0o755)
    async with Rig(tmp_path / "rig", path).supervising() as supervisor:
        with pytest.raises(SpawnFailed) as caught:
            await supervisor.start()
    assert caught.value.message.startswith(f"{path} cannot be run: {why}")
