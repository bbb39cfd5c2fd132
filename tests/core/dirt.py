"""Bytes made to trip whoever cuts and cleans lines, and a cutter run over them."""

from __future__ import annotations

from collections.abc import Iterator

from core.logs.lines import MAX_LINE, LineCutter

EVIL = [
    *(bytes((byte,)) for byte in b"ab\n\r\t\0\x1b[];m\\\x07\x80\xbf\xff"),
    b"\r\n",
    b"\n\n",
    "é".encode(),
    "漢".encode(),
    "\U0001f600".encode(),
    "漢".encode()[:2],
    "\x85\x9b31m".encode(),
    "\u202e\u2028\u2069\u061c".encode(),
    b"\x1b[31m",
    b"\x1b]0;t\x07",
    b"\x1b]0;t\x1b\\",
    b"\x1b\x1b[m[m",
    b"\x1b]" + b"o" * 1024,
    b"\x1b[" + b"1" * 64,
    b"\xff" * 300,
    b"x" * 1500,
]


def cut(data: bytes, sizes: Iterator[int] | None = None, max_line: int = MAX_LINE) -> list[bytes]:
    """The lines a cutter makes of `data`, fed in pieces of those sizes."""
    cutter = LineCutter(max_line)
    blocks: list[bytes] = []
    start = 0
    for size in sizes or iter([len(data)]):
        blocks += cutter.feed(data[start : start + size])
        start += size
        if start >= len(data):
            break
    blocks += cutter.flush()
    assert all(block.endswith(b"\n") for block in blocks)
    return b"".join(blocks).split(b"\n")[:-1]
