"""The logon task, in the Task Scheduler itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

if sys.platform != "win32":
    raise ImportError("These tests are for Windows only")

from core.platform import service
from core.platform.service import _tasks, texts
from core.platform.service.mark import Origin


@pytest.fixture
def _no_task() -> Iterator[None]:
    _tasks.delete(texts.TASK)
    yield
    _tasks.delete(texts.TASK)


@pytest.mark.usefixtures("_no_task")
def test_a_task_is_made_replaced_and_deleted() -> None:
    assert service.entry() is None
    command = [sys.executable, "-c", "pass"]
    for _ in range(2):
        _tasks.register(texts.TASK, service.text(command, ""))
        found = service.entry()
        assert found is not None
        assert found.origin is Origin.OURS
        assert service.state().is_enabled
    service.take_away()
    assert service.entry() is None
    service.take_away()


@pytest.mark.usefixtures("_no_task")
def test_a_task_of_our_name_that_is_somebody_elses_is_known() -> None:
    _tasks.register(texts.TASK, service.text([sys.executable], "").replace(texts.TASK_SOURCE, "Somebody"))
    found = service.entry()
    assert found is not None
    assert found.origin is Origin.FOREIGN
