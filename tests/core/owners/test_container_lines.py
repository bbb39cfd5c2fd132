"""Lines of a container, cut out of an engine's bytes in whatever pieces they come."""

from __future__ import annotations

import pytest

from core.owners.container.lines import Frames
from core.owners.copied import Line

STAMP = b"2023-11-14T22:13:20Z "
AT = 1_700_000_000.0


def frame(text: bytes, stream: int = 1) -> bytes:
    return bytes((stream, 0, 0, 0)) + len(text).to_bytes(4, "big") + text


def fed(has_terminal: bool, data: bytes, size: int) -> list[Line]:
    """The lines of these bytes, in pieces of that size."""
    frames = Frames(has_terminal)
    return [line for start in range(0, len(data), size) for line in frames.feed(data[start : start + size])]


@pytest.mark.parametrize("size", [1, 7, 8, 9, 100, 1 << 16])
def test_lines_of_two_streams_with_odd_bytes_do_not_depend_on_the_pieces(size: int) -> None:
    data = (
        frame(STAMP + b"one\n")
        + frame(STAMP + b"be")
        + frame(STAMP + b"\xff\x00\r\n", 2)
        + frame(STAMP + b"gun\n")
        + frame(STAMP + b"\n")
        + frame(b"no stamp\n")
    )
    assert fed(False, data, size) == [
        Line("OUT", AT, b"one"),
        Line("ERR", AT, b"\xff\x00"),
        Line("OUT", AT, b"begun"),
        Line("OUT", AT, b""),
        Line("OUT", AT, b"no stamp"),
    ]


@pytest.mark.parametrize("size", [1000, 1 << 16])
@pytest.mark.parametrize("has_terminal", [True, False])
def test_a_line_without_end_is_cut(has_terminal: bool, size: int) -> None:
    much = b"x" * (3 << 20)
    if has_terminal:
        lines = fed(True, STAMP + b"one\r\n" + STAMP + much, size)
    else:
        pieces = b"".join(frame(STAMP + much[start : start + 16384]) for start in range(0, len(much), 16384))
        lines = fed(False, frame(STAMP + b"one\n") + pieces, size)
    assert lines[0].text == b"one"
    assert 2 <= len(lines[1:]) <= 3
    assert all(line.seconds == AT and (1 << 20) - 100 < len(line.text) < (1 << 20) + 20000 for line in lines[1:])
