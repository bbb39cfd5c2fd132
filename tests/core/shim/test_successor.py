"""What is said in place of a killed shim, and when nothing is."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from core.logs.segments import Caps
from core.shim.record import GUARD_STOPPED_IT, SHIM_KILLED, STOPPED, record_killed_shim, write_record
from core.shim.writer import LogWriter
from tests import tied

ENDED = {"exitCode": 0, "endedAt": "2024-01-01T00:00:00Z", "reason": STOPPED}
ALIVE = {"exitCode": None, "endedAt": None, "reason": None}


@pytest.mark.parametrize(
    ("before", "reason", "says"),
    [
        pytest.param({"shimPid": os.getpid(), **ALIVE}, SHIM_KILLED, True, id="its own"),
        pytest.param({"shimPid": os.getpid(), **ENDED}, STOPPED, False, id="its own, told already"),
        pytest.param({"shimPid": 1, **ENDED}, STOPPED, True, id="an earlier one's"),
        pytest.param(None, None, True, id="none"),
    ],
)
def test_a_shim_is_buried_once(
    tmp_path: Path, before: dict[str, object] | None, reason: str | None, *, says: bool
) -> None:
    record = tmp_path / "ollama-1.json"
    if before:
        write_record(str(record), before)
    log = LogWriter(str(tmp_path), Caps())
    assert log.close(8)
    record_killed_shim(str(record), os.getpid(), str(tmp_path), GUARD_STOPPED_IT)
    assert (json.loads(record.read_text())["reason"] if before else None) == reason
    assert (GUARD_STOPPED_IT in Path(log.path).read_text()) is says


@tied.posix("FIFOs")
def test_a_fifo_in_the_newest_logs_place_holds_no_burial_up(tmp_path: Path) -> None:
    record = tmp_path / "ollama-1.json"
    write_record(str(record), {"shimPid": os.getpid(), **ALIVE})
    log = LogWriter(str(tmp_path), Caps())
    assert log.close(8)
    if sys.platform != "win32":
        os.mkfifo(Path(log.path).with_suffix(".001.log"))
    record_killed_shim(str(record), os.getpid(), str(tmp_path), GUARD_STOPPED_IT)
    assert json.loads(record.read_text())["reason"] == SHIM_KILLED
    assert GUARD_STOPPED_IT in Path(log.path).read_text()
