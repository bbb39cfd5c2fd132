"""What journalctl may print, odd as it is: it costs no other line. A script in its place prints what a test says."""

from __future__ import annotations

import asyncio
import json
import shlex
import threading
from pathlib import Path

import pytest

from core.owners.systemd.journal import Journal
from core.settings.paths import Paths
from tests.core.owners.test_copied import copy_of, shown

DEADLINE = 20.0


def entry(number: int, message: object) -> str:
    """An entry as `journalctl --output=json` prints it."""
    fields = {"__CURSOR": f"s={number}", "__REALTIME_TIMESTAMP": str(1_700_000_000_000_000 + number)}
    return json.dumps(fields | {"MESSAGE": message, "_SYSTEMD_INVOCATION_ID": "a"})


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    paths.data.mkdir()
    return paths


@pytest.mark.parametrize(
    ("odd", "expected"),
    [
        pytest.param([entry(2, "x" * 100_000)], [], id="longer than the limit"),
        pytest.param([entry(2, "x" * 1_000_000)], [], id="much longer than the limit"),
        pytest.param([entry(2, list(b"\xff\x00 odd"))], [r"\xff\x00 odd"], id="bytes"),
        pytest.param([entry(2, None), entry(2, ["two", "texts"]), "{", "[" * 50_000, "7", ""], [], id="no text"),
        pytest.param([entry(2, "two\nlines")], ["two", "lines"], id="several lines"),
    ],
)
async def test_an_odd_entry_costs_no_other_line(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: list[str], expected: list[str]
) -> None:
    monkeypatch.setattr("core.owners.systemd.journal._LONGEST_ENTRY", 60_000)
    printed = tmp_path / "printed"
    printed.write_text("".join(f"{line}\n" for line in (entry(1, "before"), *odd, entry(3, "after"))))
    program = tmp_path / "bin" / "journalctl"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *--follow*) exec sleep 600;; esac\nexec cat {shlex.quote(str(printed))}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    running = asyncio.create_task(Journal("ollama.service", copy_of(paths), threading.Lock(), is_user=True).run())
    try:
        async with asyncio.timeout(DEADLINE):
            while "after" not in await asyncio.to_thread(shown, paths):
                assert not running.done()
                await asyncio.sleep(0.02)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert await asyncio.to_thread(shown, paths) == ["before", *expected, "after"]
