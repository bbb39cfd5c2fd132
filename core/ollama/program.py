"""Why the system cannot run a file that exists and is executable. Called after the system has refused to run it.

The file is read, not run. Formats: elf(5); execve(2) for `#!`; "PE Format" at learn.microsoft.com; <mach-o/loader.h>.
Blocks on the disk.
"""

from __future__ import annotations

import os
import platform
import re
import stat
import struct
from pathlib import Path

from core.platform import forbids_programs

_HEAD_BYTES = 4096
# Linux follows five scripts that are each the interpreter of another: fs/exec.c.
_MOST_SCRIPTS = 5
_CUT_SHORT = "it is damaged: the file is cut short"
_PT_INTERP = 3
_ELF_MACHINES = {3: "x86", 8: "MIPS", 21: "ppc64", 22: "s390x", 40: "ARM", 62: "x86_64", 183: "ARM64", 243: "RISC-V"}
_PE_MACHINES = {0x14C: "x86", 0x8664: "x86_64", 0xAA64: "ARM64"}
_MACH_O = (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_OURS = {"amd64": "x86_64", "aarch64": "ARM64", "arm64": "ARM64", "i386": "x86", "i686": "x86"}
_SYSTEMS = {"Darwin": "macOS"}


def why_not(path: Path) -> str | None:
    """The reason as the end of a sentence, None if none is found.

    Reasons are a missing loader or interpreter, or one that cannot be run itself; a program for another system or
    processor; one that is cut short; and a file of another kind.
    """
    return _why_not(path, _MOST_SCRIPTS)


def _why_not(path: Path, scripts: int) -> str | None:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            size = os.fstat(file.fileno()).st_size
    except OSError:
        return None
    if head.startswith(b"\x7fELF"):
        return (
            _other_machine("Linux", _elf_machine(head))
            or (_CUT_SHORT if _elf_bytes(head) > size else None)
            or _why_no_helper("loader", _elf_loader(head), scripts)
        )
    if head.startswith(b"MZ"):
        return _other_machine("Windows", _pe_machine(head)) or (_CUT_SHORT if _pe_bytes(head) > size else None)
    if head.startswith(_MACH_O):
        return _other_machine("macOS", "")
    if script := re.match(rb"#![ \t]*([^ \t\n\0]+)", head):
        if script[1].endswith(b"\r"):
            return "its first line has a Windows line end (CR LF); save it with Unix line ends (LF)"
        return _why_no_helper("interpreter", os.fsdecode(script[1]), scripts)
    return "it is empty" if not head else "it is no program"


def _why_no_helper(what: str, name: str, scripts: int) -> str | None:
    """What keeps the system from running the loader or interpreter of that name; None if nothing is found."""
    if not name:
        return None
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    try:
        mode = Path(name).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return f"its {what} {shown} is missing"
    except OSError as error:
        return f"its {what} {shown} cannot be reached: {error.strerror}"
    if stat.S_ISDIR(mode):
        return f"its {what} {shown} is a folder"
    if not stat.S_ISREG(mode):
        return f"its {what} {shown} is not a regular file"
    if forbids_programs(name):
        return f"its {what} {shown} lies on a disk that is mounted with `noexec`"
    if not mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH):
        return f"its {what} {shown} is not executable"
    if not os.access(name, os.X_OK):
        return f"its {what} {shown} may not be run by this user"
    if scripts == 0:
        return f"its {what} {shown} is a script that leads to too many others"
    why = _why_not(Path(name), scripts - 1)
    return f"its {what} {shown} cannot be run: {why}" if why else None


def _other_machine(system: str, machine: str) -> str | None:
    here = _SYSTEMS.get(platform.system(), platform.system())
    if system != here:
        return f"it is a program for {system}, and this is {here}"
    own = _OURS.get(platform.machine().lower(), platform.machine())
    return f"it is a program for {machine}, and this is {own}" if machine and machine != own else None


def _elf_machine(head: bytes) -> str:
    try:
        (number,) = struct.unpack_from(_order(head) + "H", head, 18)
    except struct.error:
        return ""
    return _ELF_MACHINES.get(number, f"processor {number}")


def _elf_bytes(head: bytes) -> int:
    """How long the file must be at least, to hold all that its program headers name."""
    order, is_64 = _order(head), head[4:5] == b"\2"
    needed = 64 if is_64 else 52
    try:
        (table,) = struct.unpack_from(order + ("Q" if is_64 else "I"), head, 32 if is_64 else 28)
        size, count = struct.unpack_from(order + "HH", head, 54 if is_64 else 42)
        needed = max(needed, table + size * count)
        for at in range(table, table + size * count, size or 1):
            (begin,) = struct.unpack_from(order + ("Q" if is_64 else "I"), head, at + (8 if is_64 else 4))
            (length,) = struct.unpack_from(order + ("Q" if is_64 else "I"), head, at + (32 if is_64 else 16))
            needed = max(needed, begin + length)
    except struct.error:
        # The head ends here, or the file does.
        pass
    return needed


def _elf_loader(head: bytes) -> str:
    """The loader that PT_INTERP names; empty in a static program, or if it is not in the first 4 KiB of the file."""
    order, is_64 = _order(head), head[4] == 2
    try:
        (table,) = struct.unpack_from(order + ("Q" if is_64 else "I"), head, 32 if is_64 else 28)
        size, count = struct.unpack_from(order + "HH", head, 54 if is_64 else 42)
        for at in range(table, table + size * count, size or 1):
            (kind,) = struct.unpack_from(order + "I", head, at)
            if kind == _PT_INTERP:
                (begin,) = struct.unpack_from(order + ("Q" if is_64 else "I"), head, at + (8 if is_64 else 4))
                return head[begin : head.index(b"\0", begin)].decode("utf-8", "backslashreplace")
    except (struct.error, ValueError):
        pass
    return ""


def _order(head: bytes) -> str:
    return ">" if head[5:6] == b"\2" else "<"


def _pe_machine(head: bytes) -> str:
    try:
        (header,) = struct.unpack_from("<I", head, 0x3C)
        (number,) = struct.unpack_from("<H", head, header + 4)
    except struct.error:
        return ""
    return _PE_MACHINES.get(number, f"processor {number:#x}")


def _pe_bytes(head: bytes) -> int:
    """How long the file must be at least, to hold all that its section headers name."""
    needed = 64
    try:
        (header,) = struct.unpack_from("<I", head, 0x3C)
        needed = max(needed, header + 6)
        sections, optional = struct.unpack_from("<2xH12xH", head, header + 4)
        for at in range(header + 24 + optional, header + 24 + optional + 40 * sections, 40):
            length, begin = struct.unpack_from("<II", head, at + 16)
            needed = max(needed, begin + length)
    except struct.error:
        # The head ends here, or the file does.
        pass
    return needed
