"""`aura-ollama events`: what has happened, and what happens, over a restart of the sidecar."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli import exits
from cli.commands.events import TYPES
from core.events.history import EventType
from tests.beds.ending import end
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import copy_models
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call, free_port
from tests.cli.terminal import aura, following

pytestmark = pytest.mark.timeout(90)
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (status|models|log) +(default|-) .+")


def test_its_types_are_those_of_the_history() -> None:
    assert set(TYPES) == set(EventType)


def test_what_has_happened_is_printed_from_the_beginning_and_then_it_ends(running: Sidecar) -> None:
    said = aura("events", data=running.root)
    assert (said.code, said.err) == (exits.DONE, "")
    lines = said.out.splitlines()
    assert all(LINE.fullmatch(line) for line in lines), lines
    states = [line.split()[4].rstrip(",") for line in lines if line.split()[2] == "status"]
    assert states[0] in ("stopped", "starting")
    assert states[-1] == "running"
    numbers = [int(json.loads(line)["id"].rpartition("-")[2]) for line in _json(running)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) >= len(lines)


def _json(sidecar: Sidecar) -> list[str]:
    said = aura("events", "--json", data=sidecar.root)
    assert (said.code, said.err) == (exits.DONE, "")
    return said.out.splitlines()


def test_only_what_was_asked_for_is_printed(running: Sidecar) -> None:
    """Also if the last event of all is of another type."""
    for types in ("log", "log,models", "settings"):
        said = aura("events", f"--types={types}", "--json", data=running.root)
        assert (said.code, said.err) == (exits.DONE, "")
        assert {json.loads(line)["type"] for line in said.out.splitlines()} <= set(types.split(","))
    assert re.fullmatch(r".* a new log: \S+\n", aura("events", "--types=log", data=running.root).out)
    assert aura("events", "--instance", "other", data=running.root).out == ""


@pytest.mark.parametrize("wrong", ["", "statuses", "status,", "a\x1b[31m"])
def test_a_type_that_there_is_not_is_a_usage_error(wrong: str, tmp_path: Path) -> None:
    said = aura("events", f"--types={wrong}", data=tmp_path)
    assert (said.code, said.out) == (exits.USAGE, "")
    assert "there are status, models, job, settings, log, metrics" in said.err
    assert "\x1b" not in said.err


def test_metrics_come_once_a_second_if_they_are_asked_for(running: Sidecar) -> None:
    with following("events", "-f", "--types", "metrics", data=running.root) as events:
        events.until(lambda: len(events.lines) >= 2)
        assert re.fullmatch(r"\S+ \S+ metrics  default running(, .* of memory)?", events.lines[0])
        assert events.interrupt() == exits.INTERRUPTED


def test_following_goes_on_with_the_next_sidecar(tmp_path: Path) -> None:
    copy_models(tmp_path / "models")
    executable, port = require(ollama).executable, free_port()

    def sidecar() -> Sidecar:
        return Sidecar(tmp_path, executable=executable, models=tmp_path / "models", ollama_port=port)

    with sidecar() as first, following("events", "-f", "--types", "status", "--json", data=tmp_path) as events:

        def pids() -> set[object]:
            found = [json.loads(line) for line in events.lines]
            return {body["pid"] for body in found if body["state"] == "running"}

        events.until(lambda: len(events.lines) == 1)
        assert call("POST", f"{first.url}/api/ollama/start", timeout=60).status == 200
        events.until(lambda: len(pids()) == 1)
        end(first.process, 30)
        events.until(lambda: "Waiting until it is back" in events.err)
        with sidecar() as second:
            events.until(lambda: "The sidecar is back.\nEvents are missing here.\n" in events.err)
            assert call("POST", f"{second.url}/api/ollama/start", timeout=60).status == 200
            events.until(lambda: len(pids()) == 2)
        ids = [json.loads(line)["id"] for line in events.lines]
        assert len(set(ids)) == len(ids)
        assert events.interrupt() == exits.INTERRUPTED
