"""What the system refuses is told by its own words and with the way out that fits it."""

from __future__ import annotations

import errno
import os

import pytest

from core.errors import WAYS_OUT, os_error_in_words


@pytest.mark.parametrize(
    ("number", "way_out"),
    [
        (errno.EMFILE, "many files open"),
        (errno.ENOMEM, "much memory"),
        (errno.ENOBUFS, "much memory"),
        (errno.ENOSPC, "Make room"),
        (errno.E2BIG, "`env`"),
        (errno.ENOTSUP, "--data-dir"),
    ],
)
def test_each_refusal_has_its_own_words_and_way_out(number: int, way_out: str) -> None:
    error = OSError(number, os.strerror(number), "/a/file")
    assert os_error_in_words(error) == f"/a/file: {os.strerror(number)}"
    assert way_out in WAYS_OUT[number]


def test_an_error_without_file_or_number_still_has_words() -> None:
    assert os_error_in_words(OSError(errno.EIO, "Input/output error")) == "Input/output error"
    assert os_error_in_words(OSError("it broke")) == "it broke"
    assert os_error_in_words(TimeoutError()) == "TimeoutError"
