"""Marks for tests that cannot run everywhere; each says why, and none hides: a run's summary lists them all."""

from __future__ import annotations

import ctypes
import sys

import pytest

ON_WINE = sys.platform == "win32" and hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")
"""Whether this Windows is Wine, which says so there: https://gitlab.winehq.org/wine/wine/-/wikis/Developer-FAQ."""


SLOWER = 6.0 if ON_WINE else 1.0
"""How much longer things take: a process that starts in 0.05 s on Linux needs 0.3 s in Wine."""


def seconds(limit: float) -> float:
    """A limit that a test sets for what takes that many seconds on Linux at most."""
    return limit * SLOWER


def owner(pid: int) -> int | None:
    """What can be known of the process that holds a port: Wine's tables say 0 for each."""
    return None if ON_WINE else pid


def linux(reason: str) -> pytest.MarkDecorator:
    """The test asks something that only Linux has."""
    return pytest.mark.skipif(sys.platform != "linux", reason=f"tied to Linux: {reason}")


def posix(reason: str) -> pytest.MarkDecorator:
    """The test asks something that Windows does not have."""
    return pytest.mark.skipif(sys.platform == "win32", reason=f"tied to POSIX: {reason}")


def beyond_wine(reason: str) -> pytest.MarkDecorator:
    """The test is for Windows, where it must pass, and Wine fails it; `-m beyond_wine` runs these alone.

    docs/windows.md lists each. tests/conftest.py has them fail as expected.
    """
    return pytest.mark.beyond_wine(reason)
