"""Instances share a run folder: each has files of its own there, and what one does leaves those of others alone."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from core.errors import ConfigError, SpawnFailed
from core.owners.adopt import adopt
from core.owners.bundle import FrozenShim, PythonShim
from core.owners.process import Managed
from core.owners.run_record import record_path, records_in, spec_path
from core.owners.shim_start import Plan, start_shim
from core.platform import EXECUTABLE_NAMES
from core.settings.paths import Paths, instance_id
from tests.core.owners.test_shim_start import all_gone, plan_for

pytestmark = pytest.mark.timeout(60)  # several starts and stops each


async def stop(running: list[Managed]) -> None:
    """Stop them all at once."""
    async with asyncio.TaskGroup() as tasks:
        for managed in running:
            tasks.create_task(managed.ended())
            tasks.create_task(managed.stop())


async def start(plans: list[Plan], apart: float = 0.0) -> list[Managed]:
    """Start them, each `apart` seconds after the one before it."""

    async def later(plan: Plan, delay: float) -> Managed:
        await asyncio.sleep(delay)
        return await start_shim(plan)

    async with asyncio.TaskGroup() as tasks:
        starts = [tasks.create_task(later(plan, number * apart)) for number, plan in enumerate(plans)]
    return [one.result() for one in starts]


@pytest.mark.parametrize("apart", [0.0, 0.07])
async def test_instances_start_beside_each_other(tmp_path: Path, apart: float) -> None:
    """The first of them also puts the copy that all of their shims run from in its place."""
    for number in range(3):
        plans = [plan_for(tmp_path / str(number), name) for name in ("default", "second", "third")]
        running = await start(plans, apart)
        try:
            assert [managed.instance for managed in running] == ["default", "second", "third"]
            records = await asyncio.to_thread(records_in, plans[0].run_dir)
            assert [path.name for path in records] == ["default.json", "second.json", "third.json"]
            for plan, managed in zip(plans, running, strict=True):
                assert (managed.url, managed.logs.place) == (plan.url, str(plan.logs))
                assert Path(managed.record.log).parent == plan.logs
        finally:
            await stop(running)
        for plan in plans:
            assert await all_gone(plan)


async def test_a_start_and_a_stop_leave_the_files_of_other_instances_as_they_are(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, "first")
    plan.run_dir.mkdir(parents=True, mode=0o700)
    other = Paths(tmp_path).logs_of("second")
    other.mkdir(parents=True)
    # The spec of a start under way, what a killed shim had half written, and more logs than a start keeps.
    theirs = [spec_path(plan.run_dir, "second"), plan.run_dir / "second.json.4194304.new", plan.run_dir / "token"]
    theirs += [other / f"ollama-20240101-0000{second:02}.log" for second in range(30)]
    for path in theirs:
        path.write_text("theirs")
    await stop([await start_shim(plan)])
    assert [path.read_text() for path in theirs] == ["theirs"] * len(theirs)
    assert not spec_path(plan.run_dir, "first").exists()


async def test_all_instances_are_found_again_each_by_its_own_record(tmp_path: Path) -> None:
    plans = [plan_for(tmp_path, name) for name in ("default", "second")]
    (note := plans[0].run_dir / "sidecar.json").parent.mkdir(parents=True, mode=0o700)
    note.write_text("no record, though it has the ending of one")
    left = await start(plans)
    for managed in left:
        managed.let_go()
    found = (await asyncio.to_thread(adopt, plans[0].run_dir, 1.0)).found
    assert [(managed.instance, managed.pid) for managed in found] == [(one.instance, one.pid) for one in left]
    assert [(await asyncio.to_thread(managed.usage))[0] for managed in found] == [managed.pid for managed in left]
    assert note.exists()
    await stop(found[:1])
    assert await asyncio.to_thread(found[0].usage) == ()
    assert await asyncio.to_thread(found[1].usage)
    await stop(found[1:])


async def test_a_start_does_not_write_over_the_record_of_an_ollama_that_lives(tmp_path: Path) -> None:
    """One that could not be adopted, because its record could not be read in time."""
    first = plan_for(tmp_path)
    running = await start_shim(first)
    try:
        before = record_path(first.run_dir).read_text()
        with pytest.raises(SpawnFailed, match=f"{first.url} .pid {running.pid}.") as failure:
            await start_shim(plan_for(tmp_path))
        assert failure.value.action
        assert record_path(first.run_dir).read_text() == before
    finally:
        await stop([running])


async def test_a_shim_whose_record_was_set_aside_does_not_write_over_its_successor_s(tmp_path: Path) -> None:
    first = await start_shim(plan_for(tmp_path))
    record = record_path(plan_for(tmp_path).run_dir)
    record.unlink()
    second = await start_shim(plan_for(tmp_path))
    before = record.read_text()
    async with asyncio.TaskGroup() as tasks:
        psutil.Process(first.pid).kill()
        tasks.create_task(first.ended())
    assert record.read_text() == before
    await stop([second])


@pytest.mark.parametrize("kind", ["modules", "frozen"])
def test_starts_at_the_same_time_share_one_copy_of_the_shim(tmp_path: Path, kind: str) -> None:
    program = tmp_path / "program"
    (program / "core").mkdir(parents=True)
    (program / f"aura-ollama-shim{Path(EXECUTABLE_NAMES[0]).suffix}").write_bytes(b"x" * 1_000_000)
    (program / "core" / "shim.py").write_text("main = print")
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    shim = FrozenShim(program) if kind == "frozen" else PythonShim(program / "core")
    with ThreadPoolExecutor(8) as pool:
        commands = list(pool.map(lambda _: shim.command(run_dir, Path("spec")), range(16)))
    assert commands == commands[:1] * 16
    assert len(list(run_dir.iterdir())) == 1


@pytest.mark.parametrize("text", ["default", "a", "gpu-1", "0", "x" * 32, "ollama", "console", "shim-1", "ollama-gpu"])
def test_ids_that_an_instance_may_have(text: str) -> None:
    assert instance_id(text) == text
    assert Paths(Path("data")).logs_of(text).name in (text, "ollama")


@pytest.mark.parametrize(
    "text",
    ["", "x" * 33, "A", "a b", "ä", "a/b", "..", "a.b", "a\n", "sidecar", "token", "jobs", "con", "com1", "ollama-1"],
)
def test_an_id_that_no_instance_may_have_is_named_with_the_way_out(text: str) -> None:
    with pytest.raises(ConfigError) as failure:
        record_path(Path("run"), text)
    assert repr(text) in str(failure.value)
    assert "1 to 32 of a-z, 0-9 and -" in str(failure.value.action)
    with pytest.raises(ConfigError):
        Paths(Path("data")).logs_of(text)
