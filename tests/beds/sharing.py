"""A pytest plugin by which several runs share one suite: each test is run by the first run that claims it.

All of them collect the same tests and get the same `--claims` folder. One goes through the files from the first to the
last, another with `--backwards` from the last to the first. They meet wherever each has worked equally long, whatever a
single file costs. The file in which they meet is shared: each runs a part of its tests.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two options of a run that shares its tests."""
    group = parser.getgroup("sharing")
    group.addoption("--claims", type=Path, required=True, help="an empty folder, the same for all runs that share")
    group.addoption("--backwards", action="store_true", help="take the last file first")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the files; the tests of one file keep their order."""
    if config.getoption("backwards"):
        files = [list(tests) for _, tests in itertools.groupby(items, lambda item: item.path)]
        items[:] = itertools.chain.from_iterable(reversed(files))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run what nobody else has claimed.

    The next test is claimed before one ends, since pytest must know then which fixtures the next one shares with it.
    """
    if session.config.getoption("collectonly") or session.testsfailed:
        return None
    mine = _claimed(session.items, session.config.getoption("claims"))
    item = next(mine, None)
    while item is not None:
        following = next(mine, None)
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        item = following
    return True


def _claimed(items: list[pytest.Item], claims: Path) -> Iterator[pytest.Item]:
    for item in items:
        try:
            # Whoever makes the file has the test: the system lets one alone do that.
            (claims / hashlib.sha256(item.nodeid.encode()).hexdigest()).touch(exist_ok=False)
        except FileExistsError:
            continue
        yield item
