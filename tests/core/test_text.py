"""Numbers in words, whatever the number, and texts that a terminal can take."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.text import on_one_line, size_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KB"),
        (2**63 - 1, "8192 PB"),
        (10**309, "8192 PB"),
        (math.inf, "8192 PB"),
        (-1, "0 B"),
        (-math.inf, "0 B"),
        (math.nan, "0 B"),
    ],
)
def test_a_size_is_bounded_to_what_a_file_can_have(size: float, text: str) -> None:
    assert size_text(size) == text


@given(st.integers() | st.floats())
def test_any_number_has_a_short_text(size: float) -> None:
    assert len(size_text(size)) <= len("1023.99 KB")


def test_on_one_line_nothing_ends_the_line_or_steers_the_terminal() -> None:
    assert on_one_line("a\nb\r\tc\x1b[31m\x7f\x9b\u2028\u202e") == r"a\nb\r\tc\x1b[31m\x7f\x9b\u2028\u202e"
    assert on_one_line("Müller Пользователь 👩‍💻 \\n") == "Müller Пользователь 👩‍💻 \\n"
