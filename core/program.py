"""Why the system cannot run a file that is there and may be executed. Asked once it has refused; the file is only read.

The formats: elf(5); execve(2) for `#!`; "PE Format" at learn.microsoft.com; <mach-o/loader.h>. Blocks on the disk.
"""

from __future__ import annotations

import platform
import re
import struct
from pathlib import Path

_HEAD_BYTES = 4096
_PT_INTERP = 3
_ELF_MACHINES = {3: "x86", 8: "MIPS", 21: "ppc64", 22: "s390x", 40: "ARM", 62: "x86_64", 183: "ARM64", 243: "RISC-V"}
_PE_MACHINES = {0x14C: "x86", 0x8664: "x86_64", 0xAA64: "ARM64"}
_MACH_O = (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_OURS = {"amd64": "x86_64", "aarch64": "ARM64", "arm64": "ARM64", "i386": "x86", "i686": "x86"}
_SYSTEMS = {"Darwin": "macOS"}


def why_not(path: Path) -> str | None:
    """What keeps this system from running that file, as the end of a sentence; None if nothing is found.

    A loader or an interpreter that is missing; a program for another system or processor; no program at all.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return None
    if head.startswith(b"\x7fELF"):
        return _other_machine("Linux", _elf_machine(head)) or _missing("loader", _elf_loader(head))
    if head.startswith(b"MZ"):
        return _other_machine("Windows", _pe_machine(head))
    if head.startswith(_MACH_O):
        return _other_machine("macOS", "")
    if script := re.match(rb"#![ \t]*([^ \t\n\0]+)", head):
        return _missing("interpreter", script[1].decode("utf-8", "backslashreplace"))
    return "it is empty" if not head else "it is no program"


def _missing(what: str, path: str) -> str | None:
    return f"its {what} {path} is missing" if path and not Path(path).exists() else None


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
        return "another processor"
    return _ELF_MACHINES.get(number, f"processor {number}")


def _elf_loader(head: bytes) -> str:
    """What PT_INTERP names; empty if there is none, as in a static program, or it lies beyond the file's head."""
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
        return "another processor"
    return _PE_MACHINES.get(number, f"processor {number:#x}")
