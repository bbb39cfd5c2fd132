"""What fixtures call to get a bed: a machine that cannot have it skips the test, CI fails it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import pytest

from tests.beds import BedMissing

Bed = TypeVar("Bed")


def require(bed: Callable[[], Bed]) -> Bed:
    """What `bed()` returns. On `BedMissing` the calling test is skipped, or failed where `CI=true`."""
    try:
        return bed()
    except BedMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have every test bed: {missing}", pytrace=False)
        pytest.skip(str(missing))
