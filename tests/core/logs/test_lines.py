"""Lines fit to show, whatever bytes come and in whatever pieces."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.logs.lines import MAX_LINE, clean
from tests.core.dirt import EVIL, cut

UNSEEN = set(map(chr, (*range(0x80, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))))
evil_bytes = st.lists(st.one_of(st.sampled_from(EVIL), st.binary(max_size=4)), max_size=60).map(b"".join)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain\ttext \\ ~", "plain\ttext \\ ~"),
        ("größe 漢字 \U0001f600 Ąµ „…“ ؛".encode(), "größe 漢字 \U0001f600 Ąµ „…“ ؛"),
        (b"a\xc2\x9b31mb", "a\\u009b31mb"),
        ("\x7f\x80\x85\x9f\xa0".encode(), "\\x7f\\u0080\\u0085\\u009f\xa0"),
        ("one\u2028two\u2029three".encode(), "one\\u2028two\\u2029three"),
        (
            "\u2027\u202a\u202e\u202f \u2065\u2066\u2069\u206a".encode(),
            "\u2027\\u202a\\u202e\u202f \u2065\\u2066\\u2069\u206a",
        ),
        ("\u200d\u200e\u200f \u061b\u061c\u061e".encode(), "\u200d\\u200e\\u200f \u061b\\u061c\u061e"),
        (b"ends\r", "ends"),
        (b"ends\r\r", "ends\\x0d"),
        (b"10%\r20%", "10%\\x0d20%"),
        (b"a\0b\x07\x08\x7f\x1f", "a\\x00b\\x07\\x08\\x7f\\x1f"),
        (b"\x1b[1;31mred\x1b[0m\x1b[?25l\x1b[2K", "red"),
        (b"red\r\x1b[0m", "red"),
        (b"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "alink"),
        (b"\x1bPq#0\x1b\\\x1b_app\x1b\\\x1b(B\x1b=\x1bM\x1b7text", "text"),
        (b"\x1b", "\\x1b"),
        (b"\x1b[31", "\\x1b[31"),
        (b"\x1b]0;never ended", "\\x1b]0;never ended"),
        (b"\x1b\x1b[m[31m", "\\x1b[31m"),
        (b"\xff\xc3", "\\xff\\xc3"),
        (b"\xc3\x1b[m\xa9", "é"),
        (b"\xed\xa0\x80\xf5\xc0\xaf", "\\xed\\xa0\\x80\\xf5\\xc0\\xaf"),
    ],
)
def test_a_line_is_made_fit_to_show(raw: bytes, shown: str) -> None:
    assert clean(raw + b"\n") == shown.encode() + b"\n"
    assert cut(raw) == cut(raw, iter([1] * len(raw))) == [shown.encode()]


def test_what_is_left_of_nested_sequences_is_text_in_a_long_line_too() -> None:
    """Removing a sequence may leave a stray ESC before text that, read again, would be a sequence with it."""
    line = b"\x1b\x1bxx" + b"y" * 2000
    pieces = cut(line, iter([1] * len(line)), 1000)
    assert b"".join(pieces) == b"\\x1bx" + b"y" * 2000
    assert pieces == cut(line, max_line=1000)


def test_an_endless_sequence_is_no_sequence() -> None:
    longest = b"\x1b]" + b"x" * 1024 + b"\x07"
    too_long = b"\x1b]" + b"x" * 1025 + b"\x07"
    assert cut(longest + b"a\n" + too_long) == [b"a", b"\\x1b]" + b"x" * 1025 + b"\\x07"]


def test_lines_end_at_newlines_only() -> None:
    assert cut("a\u2028b\x0bc\n\n\x85d\n".encode()) == [b"a\\u2028b\\x0bc", b"", b"\\u0085d"]


def test_a_last_line_without_newline_is_a_line() -> None:
    assert cut(b"a\nb") == [b"a", b"b"]
    assert cut(b"a\n") == [b"a"]
    assert cut(b"") == []


@pytest.mark.parametrize("excess", [-1, 0, 1, MAX_LINE, MAX_LINE + 1])
@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_a_long_line_becomes_several_and_loses_nothing(excess: int, ending: bytes) -> None:
    line = b"x" * (MAX_LINE + excess)
    lines = cut(line + ending, iter([4096] * 100))
    assert [len(piece) for piece in lines] == [MAX_LINE] * (len(line) // MAX_LINE) + [len(line) % MAX_LINE] * (
        len(line) % MAX_LINE > 0
    )
    assert b"".join(lines) == line


def test_a_long_line_is_not_cut_inside_a_character() -> None:
    text = "x" + "漢" * 40_000
    pieces = [piece.decode() for piece in cut(text.encode())]
    assert "".join(pieces) == text
    assert [len(piece.encode()) for piece in pieces] == [32767, 32766, 32766, 21702]


def expected_lines(data: bytes, max_line: int) -> list[bytes]:
    """What the lines must be, the slow way: clean a whole line, then fill pieces character by character."""
    lines: list[bytes] = []
    raw = data.split(b"\n")
    for line in raw if raw[-1] else raw[:-1]:
        piece = b""
        for character in clean(line + b"\n")[:-1].decode():
            if len(piece) + len(character.encode()) > max_line:
                lines.append(piece)
                piece = b""
            piece += character.encode()
        lines.append(piece)
    return lines


@given(evil_bytes, st.lists(st.integers(1, 700), min_size=1, max_size=8), st.sampled_from([4, 7, 64, 1000]))
@pytest.mark.timeout(60)  # hundreds of examples
@settings(max_examples=400, deadline=None)
def test_the_lines_depend_on_the_bytes_and_not_on_the_pieces(data: bytes, sizes: list[int], max_line: int) -> None:
    cycled = (sizes[index % len(sizes)] for index in count())
    assert cut(data, cycled, max_line) == expected_lines(data, max_line)


@given(st.binary(max_size=300) | evil_bytes)
@pytest.mark.timeout(60)  # hundreds of examples
@settings(max_examples=300, deadline=None)
def test_a_clean_line_is_harmless_and_cleaning_it_again_changes_nothing(data: bytes) -> None:
    shown = clean(data.replace(b"\n", b"") + b"\n")
    assert not any((byte < 0x20 and byte != 0x09) or byte == 0x7F for byte in shown[:-1])
    assert clean(shown) == shown
    assert not UNSEEN.intersection(shown.decode())
