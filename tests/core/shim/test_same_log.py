"""The log of a pump is what the slow way makes of the same bytes, line by line and character by character."""

from __future__ import annotations

import os
import re
import time
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.logs.lines import MAX_LINE, LineCutter, clean
from core.logs.own_calls import leave_out
from core.logs.redact import Redactor
from core.logs.segments import Caps, line_prefix
from core.logs.tail import segments
from core.shim.pump import Pump
from core.shim.spool import Spool
from core.shim.writer import LogWriter
from tests.core.dirt import EVIL

NOON = 1_730_462_400.0
SECRETS = [b"s3cret-of-the-user", b"hunter2"]
ESCAPE = re.compile(
    rb"\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]"
    rb"|\x1b[]PX^_][ -~\x80-\xff]{0,1024}(?:\x07|\x1b\\)"
    rb"|\x1b[ -/]{0,8}(?![PX[\]^_])[0-~]"
)
LOGIN = re.compile(rb"(?<=://)[^\s/?#@\"'<>]{1,512}@")
TURNING = {0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)}
ORDINARY = b'time=2025-01-01T00:00:00.000Z level=INFO source=routes.go:1234 msg="Listening on 127.0.0.1:11434"\n'
OURS = b'[GIN] 2025/01/01 - 00:00:00 | 200 |  1.2ms |  127.0.0.1 | GET      "/api/ps?by=aura-ollama"\n'
COLOURS = [b"\x1b[%dm" % colour for colour in (0, 1, *range(30, 38))]
PIECES = [
    *EVIL,
    *COLOURS,
    *SECRETS,
    ORDINARY,
    ORDINARY * 700,
    OURS,
    b"\n" * 300,
    b"\x1b[1;31mred\x1b[0m and \x1b[32mgreen\x1b[0m\r\n" * 100,
    "Загрузка модели — “готово” \U0001f600 漢字\n".encode(),
    "Загрузка модели 漢字\r\n".encode() * 200,
    b"http://user:word@",
    b"http://" + b"u" * 512,
    b"@example.org/ ",
    b"x" * (MAX_LINE - 5),
    b"y" * 64 * 1024,
    b"\x1b]" + b"o" * 1025,
    b"\x1b\\",
    b"\0",
]
pieces = st.lists(st.sampled_from(PIECES) | st.binary(max_size=12), max_size=30).map(b"".join)
reads = st.lists(st.integers(1, 40) | st.integers(1, 70_000), min_size=1, max_size=30)


def shown(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if (code < 0x20 and character != "\t") or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if 0x80 <= code < 0xA0 or code in TURNING else character


def cleaned(line: bytes) -> str:
    text = ESCAPE.sub(b"", line + b"\n").replace(b"\r\n", b"\n")[:-1]
    return "".join(map(shown, text.decode("utf-8", "surrogateescape")))


def the_slow_way(data: bytes) -> list[bytes]:
    """The lines of the log, without their prefixes."""
    lines: list[bytes] = []
    raw = data.split(b"\n")
    for line in raw if raw[-1] else raw[:-1]:
        text = cleaned(line).encode()
        for secret in SECRETS:
            text = text.replace(secret, b"***")
        text = LOGIN.sub(b"***@", text)
        while len(text) > MAX_LINE:
            end = MAX_LINE
            while text[end] & 0xC0 == 0x80:
                end -= 1
            lines.append(text[:end])
            text = text[end:]
        lines.append(text)
    return [line for line in lines if leave_out(line + b"\n")]


def pumped(data: bytes, sizes: list[int], caps: Caps) -> bytes:
    """The log of a pump that reads `data` from a pipe: pieces of these sizes, and then the rest at once."""
    with TemporaryDirectory() as folder:
        reader, pipe = os.pipe()
        writer = LogWriter(folder, caps, lambda: NOON)
        spool = Spool()
        pump = Pump(reader, "OUT", writer, Redactor(SECRETS), spool)
        pump.start()
        deadline = time.monotonic() + 8
        for size in (*sizes, len(data)):
            piece, data = data[:size], data[size:]
            # A pipe need not take all of a large piece at once.
            wanted = spool.taken + len(piece)
            while piece:
                piece = piece[os.write(pipe, piece[: 16 * 1024]) :]
            while spool.taken < wanted:
                assert time.monotonic() < deadline
                time.sleep(0)
        os.close(pipe)
        assert pump.join(8)
        os.close(reader)
        assert writer.close(8)
        return b"".join(Path(path).read_bytes() for path in segments(folder))


@given(pieces, reads, st.sampled_from([60_000, 1 << 24]))
@example(ORDINARY * 3000, [65536], 1 << 24)
@example(b"\x1b\x1b[m[m" + b"\x1b[m" * 3 + b"\n", [3], 1 << 24)
@example(b"\x1b]0;t\x1b[m\x07 \x1b]0;t\x1b\\\x1b\\ end\n", [65536], 1 << 24)
@example(b"".join(COLOURS) * 40 + b"\n", [65536], 1 << 24)
@example(b"a" * (MAX_LINE - 4) + b"hunter2 http://me:word@host\n", [MAX_LINE, 2], 1 << 24)
@example(b"\n" * 2_000 + ORDINARY * 20, [65536], 5_000)
@example(b"\n" * 40_000, [65536], 1 << 24)
@pytest.mark.timeout(60)  # dozens of examples, some of them of hundreds of kilobytes
@settings(max_examples=60, deadline=None)
def test_the_log_is_what_the_slow_way_makes_of_it(data: bytes, sizes: list[int], segment_bytes: int) -> None:
    log = pumped(data, sizes, Caps(segment_bytes=segment_bytes, segments_per_start=10**6, total_bytes=10**9))
    prefix = line_prefix("OUT", NOON)
    assert log == b"".join(prefix + line + b"\n" for line in the_slow_way(data))


@given(pieces, reads)
@pytest.mark.timeout(60)  # hundreds of examples
@settings(max_examples=300, deadline=None)
def test_the_cutter_makes_the_lines_of_the_slow_way(data: bytes, sizes: list[int]) -> None:
    cutter = LineCutter(redactor=Redactor(SECRETS))
    blocks: list[bytes] = []
    start = 0
    for size in cycle(sizes):
        if start >= len(data):
            break
        blocks += cutter.feed(data[start : start + size])
        start += size
    blocks += cutter.flush()
    lines = b"".join(blocks).split(b"\n")[:-1]
    assert [line for line in lines if leave_out(line + b"\n")] == the_slow_way(data)


escapes = st.lists(
    st.sampled_from(
        [b"\x1b", b"[", b"]", b"m", b"1", b";", b"\\", b"\x07", b"\0", b"P", b" ", b"\x1b[m", b"\x1b[1m", b"a"]
    ),
    max_size=40,
).map(b"".join)


@given(escapes)
@example(b"\x1b\x1b[m[m")
@settings(max_examples=500, deadline=None)
def test_no_sequence_is_made_of_what_stood_around_another(text: bytes) -> None:
    assert clean(text + b"\n") == cleaned(text).encode() + b"\n"


def test_lines_of_one_second_are_stamped_alike_and_those_of_the_next_with_theirs(tmp_path: Path) -> None:
    times = iter([NOON, NOON, NOON + 0.9, NOON + 1, NOON + 1.5, NOON])
    writer = LogWriter(str(tmp_path), clock=lambda: next(times))
    writer.write("OUT", b"one\n")
    writer.write("OUT", b"two\n", b"three\n")
    writer.write("ERR", b"four\n")
    writer.write("OUT", b"five\n")
    writer.write("OUT", b"six\n")
    assert writer.close(8)
    assert Path(writer.path).read_text().splitlines() == [
        "[OUT] 2024-11-01 12:00:00 one",
        "[OUT] 2024-11-01 12:00:00 two",
        "[OUT] 2024-11-01 12:00:00 three",
        "[ERR] 2024-11-01 12:00:01 four",
        "[OUT] 2024-11-01 12:00:01 five",
        "[OUT] 2024-11-01 12:00:00 six",
    ]
