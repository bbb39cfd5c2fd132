"""Files of the release before this are taken over, those of a later one are left alone."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from core import files
from core.errors import SpawnFailed
from core.owners.adopt import adopt
from core.owners.bundle import shim_program
from core.owners.process import Managed
from core.owners.run_record import read_record, record_path, spec_path
from core.owners.shim_start import Plan, start_shim
from core.platform import birth, make_private_dir, spawn_shim
from core.shim.spec import NewerVersion, Spec
from tests.beds.sidecar import CHECKOUT
from tests.core.owners.test_instances import stop
from tests.core.owners.test_shim_start import all_gone, plan_for

pytestmark = pytest.mark.timeout(60)  # several starts and stops each

# What the first release wrote, key by key.
FIRST_SPEC = {"argv", "env", "cwd", "logs", "caps", "record", "grace", "stopEvent", "port", "url"}
FIRST_RECORD = {
    *("shimPid", "shimBirth", "pid", "birth", "executable", "port", "url", "log", "startedAt", "stopEvent"),
    *("exitCode", "endedAt", "reason", "lastLines"),
}


def first_spec(plan: Plan) -> dict[str, Any]:
    """The spec as the first release wrote it."""
    return {
        "argv": [str(plan.executable), "serve"],
        "env": dict(plan.env),
        "cwd": str(plan.run_dir),
        "logs": str(plan.logs),
        "caps": {},
        "record": str(plan.run_dir / f"ollama-{plan.port}.json"),
        "grace": plan.grace,
        "stopEvent": f"Global\\aura-ollama-{plan.port:032x}",
        "port": plan.port,
        "url": plan.url,
    }


def left_by_the_first_release(plan: Plan) -> tuple[dict[str, Any], subprocess.Popen[bytes]]:
    """A live shim with its Ollama and its record, with the names, the keys and the command line of the first release.

    The record as it wrote it.
    """
    content = first_spec(plan)
    assert set(content) == FIRST_SPEC
    make_private_dir(str(plan.run_dir))
    spec = plan.run_dir / f"ollama-{plan.port}.spec.json"
    files.write(str(spec), json.dumps(content))
    reader, writer = os.pipe()
    shim = spawn_shim(shim_program().command(plan.run_dir, spec), str(plan.run_dir), writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        record: dict[str, Any] = json.loads(file.readline())["record"]
    record = {key: value for key, value in record.items() if key in FIRST_RECORD}
    assert set(record) == FIRST_RECORD
    files.write(content["record"], json.dumps(record, indent=1))
    return record, shim


async def test_an_ollama_that_the_release_before_this_left_is_adopted_and_stopped(tmp_path: Path) -> None:
    plan = plan_for(tmp_path)
    record, shim = await asyncio.to_thread(left_by_the_first_release, plan)
    path = plan.run_dir / f"ollama-{plan.port}.json"
    (managed,) = (await asyncio.to_thread(adopt, plan.run_dir, 1.0)).found
    assert (managed.instance, managed.pid, managed.url) == ("default", record["pid"], plan.url)
    assert managed.record.version == 0
    async with asyncio.TaskGroup() as tasks:
        ended = tasks.create_task(managed.ended())
        await managed.stop()
    await asyncio.to_thread(shim.wait)
    assert ended.result().reason == "stopped"
    assert json.loads(path.read_text())["endedAt"]
    assert await all_gone(plan)
    # What has ended is history, and the next start goes by the id.
    assert (await asyncio.to_thread(adopt, plan.run_dir, 1.0)).found == []
    running = await start_shim(plan)
    assert record_path(plan.run_dir).exists()
    await stop([running])


async def write(path: Path, content: dict[str, Any]) -> None:
    """Put that there as a shim would."""
    await asyncio.to_thread(files.write, str(path), json.dumps(content))


async def of_a_later_version(plan: Plan, **changes: object) -> tuple[Managed, str]:
    """An Ollama that runs, and its record, which a later release is to have written."""
    running = await start_shim(plan)
    path = record_path(plan.run_dir, plan.instance)
    await write(path, {**json.loads(path.read_text()), "version": 99, **changes})
    return running, path.read_text()


async def test_a_record_of_a_later_version_is_reported_and_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = plan_for(tmp_path)
    # Of what it tells only the shim's identity is sure to mean the same.
    running, content = await of_a_later_version(plan, pid={"any": "thing"}, url=None)
    path = record_path(plan.run_dir)
    try:
        with caplog.at_level(logging.WARNING):
            assert (await asyncio.to_thread(adopt, plan.run_dir, 1.0)).found == []
        assert caplog.text.count(f"{path} was written by a later version of aura-ollama; left alone") == 1
        with pytest.raises(SpawnFailed, match=f"later version .*pid {running.record.shim_pid}"):
            await start_shim(plan_for(tmp_path))
        assert path.read_text() == content
        assert list(plan.run_dir.glob("*.stale")) == []
        assert psutil.Process(running.pid).is_running()
    finally:
        await stop([running])


async def test_a_record_of_a_later_version_whose_shim_is_gone_hinders_no_start(tmp_path: Path) -> None:
    plan = plan_for(tmp_path)
    running, _ = await of_a_later_version(plan)
    await stop([running])
    path = record_path(plan.run_dir)
    await write(path, {"version": 99, "shimPid": running.record.shim_pid, "shimBirth": "then"})
    assert (await asyncio.to_thread(adopt, plan.run_dir, 1.0)).found == []
    with pytest.raises(NewerVersion):
        await asyncio.to_thread(read_record, path)
    await stop([await start_shim(plan)])
    record = await asyncio.to_thread(read_record, path)
    assert record
    assert (record.version, record.reason) == (1, "stopped")


def test_a_spec_of_a_later_version_is_reported_and_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_private_dir(str(tmp_path / "run"))
    later, torn = spec_path(tmp_path / "run", "later"), spec_path(tmp_path / "run", "torn")
    files.write(str(later), '{"version": 99}')
    files.write(str(torn), '{"env": {"SECRET": ')
    # What can be read at no time has the folder gone through again and again for 5 s.
    record_path(tmp_path / "run", "unreadable").mkdir()
    assert adopt(tmp_path / "run", 1.0).found == []
    assert (later.exists(), torn.exists()) == (True, False)
    assert caplog.text.count(f"{later} was written by a later version of aura-ollama; left alone") == 1


def test_a_shim_starts_nothing_by_a_spec_of_a_later_version(tmp_path: Path) -> None:
    make_private_dir(str(tmp_path / "run"))
    spec = spec_path(tmp_path / "run")
    files.write(str(spec), json.dumps({**json.loads(a_spec(tmp_path).to_json()), "version": 99}))
    command = [sys.executable, "-m", "core.shim.main", str(spec)]
    run = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "version 99" in json.loads(run.stdout)["error"]["text"]
    assert spec.exists()
    assert not (tmp_path / "logs").exists()


def a_spec(folder: Path) -> Spec:
    """One that could be run."""
    return Spec(
        argv=["ollama", "serve"],
        env={"A": "\udcff"},
        cwd=str(folder),
        logs=str(folder / "logs"),
        caps={"starts": 3},
        record=str(folder / "record.json"),
        grace=1.5,
        stop_event="event",
        port=11434,
        url="http://127.0.0.1:11434",
        instance="gpu-1",
    )


def test_a_spec_is_read_as_it_was_written(tmp_path: Path) -> None:
    spec = a_spec(tmp_path)
    read = Spec.from_json(spec.to_json())
    assert {name: getattr(read, name) for name in Spec.__slots__} == {
        name: getattr(spec, name) for name in Spec.__slots__
    }


def test_a_spec_of_the_first_release_is_one_of_the_default_instance(tmp_path: Path) -> None:
    assert Spec.from_json(json.dumps(first_spec(plan_for(tmp_path)))).instance == "default"


@pytest.mark.parametrize(
    ("key", "value"), [("argv", "ollama"), ("env", None), ("grace", "1"), ("port", 1.5), ("stopEvent", 7)]
)
def test_a_spec_with_a_wrong_value_is_an_error_that_names_it(tmp_path: Path, key: str, value: object) -> None:
    content = {**json.loads(a_spec(tmp_path).to_json()), key: value}
    with pytest.raises(ValueError, match=f"{key} is {value!r}"):
        Spec.from_json(json.dumps(content))


@pytest.mark.parametrize("text", ["[]", "null", '{"version": "2"}', "{}", "{"])
def test_what_is_no_spec_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Spec.from_json(text)


def test_a_process_of_ours_has_a_birth() -> None:
    """Without which the records above would prove nothing."""
    assert birth(os.getpid())
