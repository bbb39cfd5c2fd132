"""The supervisor against real processes: the real Ollama, and the stand-in for what that cannot be made to do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from core.errors import (
    AlreadyRunning,
    ConfigError,
    CoreError,
    NotAnswering,
    NothingManaged,
    NotOurs,
    PathInvalid,
    PortInUse,
    RemoteOllama,
    RunsElsewhere,
    ShuttingDown,
    SpawnFailed,
    StartTimedOut,
    Superseded,
)
from core.platform import GUARDED, birth, known_executables
from core.settings.paths import Paths
from core.supervision import readiness
from core.supervision.state import State, Wish
from core.supervision.told import detail, headline, way_out
from tests import fake_ollama, tied
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import OllamaServer
from tests.rig import Rig, gone, lives, until, until_state

# psutil's kill is SIGKILL, and on Windows TerminateProcess with this exit code.
KILLED = signal.SIGTERM if sys.platform == "win32" else -9


@pytest.fixture(params=["bare", "wrapped"])
def real(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    """A rig on the real Ollama with the tiny model: the program itself, and behind its front and a shell."""
    bed = require(ollama)
    return Rig(tmp_path, bed.executable if request.param == "bare" else bed.wrapped).with_model()


@pytest.fixture
def fake(tmp_path: Path) -> Rig:
    """A rig on a stand-in that behaves."""
    return Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))


def _guards(shim: psutil.Process) -> list[psutil.Process]:
    """A guard is a fork of its shim, and has its command line."""
    found = []
    for child in shim.children():
        with suppress(psutil.NoSuchProcess):
            if "core.shim" in child.cmdline():
                found.append(child)
    return found


def _living(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return []


def _kill_together(shim: int) -> None:
    """Its whole group at the same moment, as a kernel that runs out of memory may do."""
    if sys.platform == "win32":
        # The job goes with it.
        psutil.Process(shim).kill()
    else:
        os.kill(-shim, signal.SIGKILL)


async def test_stop_with_a_model_loaded_leaves_no_process_and_a_closed_port(real: Rig) -> None:
    async with real.supervising() as supervisor:
        started = await supervisor.start()
        await real.generate()
        family = real.family()
        assert started.pid in {process.pid for process in family}
        assert any("runner" in process.cmdline() for process in family)
        assert (await until(supervisor, lambda status: bool(status.loaded))).loaded == ("tiny:latest",)

        stopped = await supervisor.stop()

        assert await gone(family, within=0.5) == []
        assert not real.is_listening
        assert (stopped.state, stopped.pid, stopped.loaded) == (State.STOPPED, None, ())
        assert real.record.reason == "stopped"


@pytest.mark.parametrize("end", [psutil.Process.kill, psutil.Process.terminate])
async def test_no_descendant_outlives_the_shim_by_2_s(real: Rig, end: Callable[[psutil.Process], None]) -> None:
    async with real.supervising() as supervisor:
        await supervisor.start()
        await real.generate()
        family = real.family()
        end(psutil.Process(real.record.shim_pid))

        assert await gone(family, within=2.0) == []
        assert not real.is_listening
        ended = await until(supervisor, lambda status: not status.is_managed)
        assert ended.state is State.FAILED
        assert (real.record.ended_at is not None) == GUARDED


async def test_a_crash_of_ollama_takes_its_runner_along_and_is_told(real: Rig) -> None:
    async with real.supervising() as supervisor:
        started = await supervisor.start()
        await real.generate()
        family = real.family()
        assert started.pid
        psutil.Process(started.pid).kill()

        failed = await until_state(supervisor, State.FAILED)
        assert await gone(family, within=0.5) == []
        assert failed.failure is not None
        assert failed.failure.code == "crashed"
        assert failed.last_exit is not None
        assert failed.last_exit.code == KILLED
        assert (await supervisor.start()).state is State.RUNNING


async def test_fifty_concurrent_starts_make_one_process(real: Rig) -> None:
    async with real.supervising() as supervisor:
        found = await asyncio.gather(*(supervisor.start() for _ in range(50)))
        assert {status.pid for status in found} == {real.record.pid}
        assert {status.state for status in found} == {State.RUNNING}
        assert real.starts == 1
        assert (await supervisor.start()).pid == real.record.pid


async def test_an_idle_ollama_is_adopted_with_its_pid_and_can_be_stopped(real: Rig) -> None:
    async with real.supervising(stop_ollama=False) as first:
        pid = (await first.start()).pid
    family = real.family()
    async with real.supervising() as second:
        adopted = await second.status()
        assert (adopted.state, adopted.pid, adopted.adopted, adopted.error) == (State.RUNNING, pid, True, None)
        assert (await second.start()).pid == pid
        await second.stop()
        assert await gone(family, within=0.5) == []


@tied.posix("symbolic links, which Windows lets administrators alone make")
async def test_an_ollama_is_adopted_by_another_name_of_the_same_folder(fake: Rig, tmp_path: Path) -> None:
    async with fake.supervising(stop_ollama=False) as first:
        pid = (await first.start()).pid
    link = tmp_path / "another name"
    link.symlink_to(tmp_path)
    fake.paths = Paths(link)
    async with fake.supervising() as second:
        adopted = await second.status()
        assert (adopted.state, adopted.pid, adopted.adopted) == (State.RUNNING, pid, True)


async def test_a_stop_interrupts_a_start_at_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_NO_LISTEN="1"))
    async with rig.supervising() as supervisor:
        starting = asyncio.create_task(supervisor.start())
        await until(supervisor, lambda status: status.pid is not None)
        began = time.monotonic()
        stopped = await supervisor.stop()
        assert time.monotonic() - began < tied.seconds(2.0)
        with pytest.raises(Superseded):
            await starting
        assert (stopped.state, stopped.wanted) == (State.STOPPED, Wish.DOWN)


@pytest.mark.parametrize("turns", range(1, 30, 3))
async def test_start_then_stop_ends_stopped_wherever_the_stop_falls(fake: Rig, turns: int) -> None:
    async with fake.supervising() as supervisor:
        starting = asyncio.create_task(supervisor.start())
        for _ in range(turns):
            await asyncio.sleep(0)
        await supervisor.stop()
        await asyncio.gather(starting, return_exceptions=True)
        assert (await supervisor.status()).state is State.STOPPED
        assert not fake.is_listening


async def test_a_start_during_a_stop_waits_for_it_and_starts_anew(fake: Rig) -> None:
    async with fake.supervising() as supervisor:
        first = await supervisor.start()
        stopping = asyncio.create_task(supervisor.stop())
        await until_state(supervisor, State.STOPPING)
        second = await supervisor.start()
        assert (await stopping).state is State.STOPPED
        assert second.state is State.RUNNING
        assert second.pid != first.pid


async def test_an_external_ollama_is_told_apart_and_never_touched(tmp_path: Path) -> None:
    bed = require(ollama)
    rig = Rig(tmp_path, bed.executable)
    server = await asyncio.to_thread(OllamaServer, tmp_path / "theirs", port=rig.port)
    with server:
        async with rig.supervising() as supervisor:
            seen = await supervisor.status()
            assert (seen.state, seen.is_running, seen.is_managed) == (State.EXTERNAL, True, False)
            assert seen.pid == tied.owner(server.pid)
            with pytest.raises(AlreadyRunning, match="Use the existing instance"):
                await supervisor.start()
            with pytest.raises(NotOurs) as refusal:
                await supervisor.stop()
            assert refusal.value.action is not None
            assert tied.ON_WINE or f"pid {server.pid}" in refusal.value.action
            assert (await supervisor.status()).state is State.EXTERNAL
        assert server.process.poll() is None
        assert rig.starts == 0


async def test_an_external_ollama_is_noticed_when_it_comes_and_when_it_goes(tmp_path: Path) -> None:
    bed = require(ollama)
    rig = Rig(tmp_path, bed.executable)
    async with rig.supervising() as supervisor:
        assert (await supervisor.status()).state is State.STOPPED
        server = await asyncio.to_thread(OllamaServer, tmp_path / "theirs", port=rig.port)
        try:
            assert (await until_state(supervisor, State.EXTERNAL)).pid == tied.owner(server.pid)
        finally:
            await asyncio.to_thread(server.kill)
        began = time.monotonic()
        await until_state(supervisor, State.STOPPED)
        assert time.monotonic() - began < tied.seconds(0.9), "its end is an event, not the next poll"


async def test_an_external_ollama_is_not_taken_for_a_program_that_held_its_port_before_and_lives_on(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path, require(ollama).executable)
    async with rig.supervising() as supervisor:
        with socket.create_server(("127.0.0.1", rig.port)):
            held = await until(supervisor, lambda status: status.owner is not None)
            assert tied.ON_WINE or f"pid {os.getpid()}" in str(held.owner)
        await until(supervisor, lambda status: status.owner is None)
        with await asyncio.to_thread(OllamaServer, tmp_path / "theirs", port=rig.port) as server:
            seen = await until_state(supervisor, State.EXTERNAL)
            assert seen.pid == tied.owner(server.pid)
            assert tied.ON_WINE or f"pid {server.pid}" in str(seen.owner)


async def test_a_port_held_by_another_program_is_an_error_that_names_it(fake: Rig, web_server: int) -> None:
    fake.port, fake.url = web_server, f"http://127.0.0.1:{web_server}"
    fake.configure()
    async with fake.supervising() as supervisor:
        holder = "unknown" if tied.ON_WINE else rf".*\(pid {os.getpid()}"
        with pytest.raises(PortInUse, match=f"Port {web_server} is held by {holder}"):
            await supervisor.start()
        status = await supervisor.status()
        assert (status.state, status.error) == (State.STOPPED, "HTTP 501")
        assert fake.starts == 0


async def test_an_early_exit_is_told_within_a_second_in_its_own_words(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_EXIT="3", FAKE_STDERR="Error: no such flux\n"))
    async with rig.supervising() as supervisor:
        await supervisor.status()
        began = time.monotonic()
        with pytest.raises(SpawnFailed, match="exit code 3: Error: no such flux"):
            await supervisor.start()
        assert time.monotonic() - began < tied.seconds(1.0)
        assert (await supervisor.status()).state is State.FAILED


async def test_a_failed_start_is_not_repeated_until_something_changes(tmp_path: Path) -> None:
    """The Aura app sends each failed start three times more: one process, one answer."""
    program = fake_ollama.install(tmp_path / "bin", FAKE_EXIT="3")
    rig = Rig(tmp_path, program)
    async with rig.supervising() as supervisor:
        failures = []
        for _ in range(4):
            with pytest.raises(SpawnFailed) as failure:
                await supervisor.start()
            failures.append(failure.value)
        assert rig.starts == 1
        assert len({str(failure) for failure in failures}) == 1

        with pytest.raises(SpawnFailed):
            await supervisor.start(by_user=True)
        assert rig.starts == 2

        rig.configure(env={"FAKE_NEW": "1"})
        with pytest.raises(SpawnFailed):
            await supervisor.start()
        assert rig.starts == 3

        fake_ollama.install(tmp_path / "bin")
        assert (await supervisor.start()).state is State.RUNNING


async def test_one_that_never_listens_is_ended_at_ready_timeout_with_its_tree(tmp_path: Path) -> None:
    grandchild = tmp_path / "grandchild"
    program = fake_ollama.install(tmp_path / "bin", FAKE_NO_LISTEN="1", FAKE_GRANDCHILD=str(grandchild))
    rig = Rig(tmp_path, program, readyTimeout=tied.seconds(1.0), stopTimeout=0.3)
    async with rig.supervising() as supervisor:
        with pytest.raises(StartTimedOut, match=rf"did not answer at .* within {tied.seconds(1.0):.0f} s"):
            await supervisor.start()
        assert not psutil.pid_exists(rig.record.pid)
        assert await gone(_living(int(grandchild.read_text())), within=0.5) == []


async def test_what_ignores_the_polite_request_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    grandchild = tmp_path / "grandchild"
    program = fake_ollama.install(tmp_path / "bin", FAKE_IGNORE_TERM="1", FAKE_GRANDCHILD=str(grandchild))
    rig = Rig(tmp_path, program, stopTimeout=0.4)
    async with rig.supervising() as supervisor:
        await supervisor.start()
        family = [*rig.family(), psutil.Process(int(grandchild.read_text()))]
        began = time.monotonic()
        await supervisor.stop()
        assert 0.4 <= time.monotonic() - began < tied.seconds(3.0)
        assert await gone(family, within=0.5) == []


@tied.posix("the kernel of Windows ends the tree itself, and needs no guard for it")
async def test_the_tree_still_ends_with_the_shim_after_its_guard_was_killed(fake: Rig) -> None:
    async with fake.supervising() as supervisor:
        await supervisor.start()
        shim = psutil.Process(fake.record.shim_pid)
        (guard,) = _guards(shim)
        guard.kill()
        async with asyncio.timeout(5):
            while _guards(shim) in ([], [guard]):
                await asyncio.sleep(0.01)
        family = fake.family()
        shim.kill()
        assert await gone(family, within=2.0) == []
        await until_state(supervisor, State.FAILED)


@tied.posix("sessions; what a program on Windows starts cannot leave its job")
@pytest.mark.parametrize("end", [psutil.Process.kill, psutil.Process.terminate])
async def test_one_that_made_a_session_of_its_own_and_lost_its_parent_ends_too(
    fake: Rig, end: Callable[[psutil.Process], None]
) -> None:
    """It has the environment of the tree, and nothing else of it."""
    program = fake.root / "bin" / "ollama"
    script = program.read_text().replace("exec ", f"(setsid sleep 600 & echo $! > {fake.root}/stray)\nexec ")
    program.write_text(script)
    async with fake.supervising() as supervisor:
        await supervisor.start()
        family = [*fake.family(), psutil.Process(int((fake.root / "stray").read_text()))]
        end(psutil.Process(fake.record.shim_pid))
        assert await gone(family, within=2.0) == []
        await until_state(supervisor, State.FAILED)


async def test_a_start_right_after_shim_guard_and_ollama_were_killed_together_starts_anew(fake: Rig) -> None:
    async with fake.supervising() as supervisor:
        first = await supervisor.start()
        _kill_together(fake.record.shim_pid)
        second = await supervisor.start()
        assert second.pid != first.pid
        assert fake.is_listening


async def test_a_hanging_ollama_is_told_and_can_still_be_stopped(real: Rig) -> None:
    async with real.supervising() as supervisor:
        await supervisor.start()
        await real.generate()
        family = real.family()
        for process in real.ollamas():
            process.suspend()
        await supervisor.status()
        hanging = await until(supervisor, lambda status: status.error is not None)
        assert (hanging.error, hanging.is_running, hanging.version) == ("Connection timeout", True, "0.9.3")
        began = time.monotonic()
        again = await supervisor.status()
        assert time.monotonic() - began < tied.seconds(0.5)
        assert began - again.seen_at > 1.5, "the snapshot is as old as the last answer"
        with pytest.raises(NotAnswering):
            await supervisor.start()
        assert (await supervisor.status()).is_managed, "it is left to its work"

        await supervisor.stop()
        assert await gone(family, within=0.5) == []


@pytest.mark.parametrize("is_right_birth", [False, True])
async def test_a_forged_record_never_makes_us_signal_a_stranger(fake: Rig, *, is_right_birth: bool) -> None:
    """Not even if it names a living process by its true birth."""
    stranger = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(600)")
    try:
        born = await asyncio.to_thread(birth, stranger.pid) if is_right_birth else "yesterday:1"
        fake.paths.run.mkdir()
        forged = {
            "shimPid": stranger.pid,
            "shimBirth": born,
            "pid": stranger.pid,
            "birth": born,
            "executable": "ollama",
            "port": fake.port,
            "url": fake.url,
            "log": "",
            "startedAt": "2026-01-01T00:00:00Z",
            "stopEvent": "",
        }
        path = fake.paths.run / "default.json"
        path.write_text(json.dumps(forged))
        async with fake.supervising() as supervisor:
            assert (await supervisor.status()).state is State.STOPPED
            with pytest.raises(NothingManaged):
                await supervisor.stop()
            assert stranger.returncode is None
            assert path.with_suffix(".stale").exists()
            await supervisor.start()
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()


@pytest.mark.parametrize("torn", [b"", b"{", b"\xff\xfe", b'{"shimPid": "x"}', b"[]", b'{"shimPid": 1}'])
async def test_a_damaged_record_is_set_aside(fake: Rig, torn: bytes) -> None:
    fake.paths.run.mkdir()
    path = fake.paths.run / "default.json"
    path.write_bytes(torn)
    async with fake.supervising() as supervisor:
        assert (await supervisor.status()).state is State.STOPPED
        assert (await supervisor.start()).state is State.RUNNING


async def test_a_crash_is_restarted_only_if_asked_for(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"), restartOnCrash=True)
    async with rig.supervising() as supervisor:
        first = await supervisor.start()
        assert first.pid
        psutil.Process(first.pid).kill()
        waiting = await until_state(supervisor, State.BACKOFF)
        assert waiting.failure is not None
        second = await until_state(supervisor, State.RUNNING)
        assert second.pid != first.pid
        assert second.restarts == 1

        assert second.pid
        psutil.Process(second.pid).kill()
        await until_state(supervisor, State.BACKOFF)
        assert (await supervisor.stop()).state is State.STOPPED


async def test_settings_reach_the_child_and_a_new_address_waits_for_the_next_start(tmp_path: Path) -> None:
    env_file = tmp_path / "env.json"
    program = fake_ollama.install(tmp_path / "bin", FAKE_ENV_FILE=str(env_file))
    rig = Rig(tmp_path, program, env={"OLLAMA_KEEP_ALIVE": "7m"})
    async with rig.supervising() as supervisor:
        first = await supervisor.start()
        env = json.loads(env_file.read_text())
        assert (env["OLLAMA_HOST"], env["OLLAMA_KEEP_ALIVE"]) == (f"127.0.0.1:{rig.port}", "7m")

        other = Rig(tmp_path, program)
        assert (await supervisor.status()).url == rig.url
        with pytest.raises(RunsElsewhere, match=f"{other.url}, but Ollama runs at {rig.url}"):
            await supervisor.start()
        assert (await supervisor.status()).pid == first.pid, "it is left to its work"
        assert (await supervisor.status()).wanted_url == other.url
        second = await supervisor.restart()
        assert (second.url, second.state) == (other.url, State.RUNNING)
        assert second.pid != first.pid
        assert other.is_listening
        assert not rig.is_listening


async def test_one_that_could_not_be_started_again_is_not_stopped_by_a_restart(fake: Rig) -> None:
    async with fake.supervising() as supervisor:
        pid = (await supervisor.start()).pid
        fake.configure(executable=fake.root / "nowhere" / fake.executable.name)
        with pytest.raises(PathInvalid, match="does not exist"):
            await supervisor.restart()
        status = await supervisor.status()
        assert (status.state, status.pid, fake.starts) == (State.RUNNING, pid, 1)


async def test_a_bad_path_is_refused_and_changes_nothing(fake: Rig) -> None:
    fake.configure(executable=fake.root / "nowhere" / fake.executable.name)
    async with fake.supervising() as supervisor:
        before = await supervisor.status()
        with pytest.raises(PathInvalid, match="does not exist"):
            await supervisor.start()
        after = await supervisor.status()
        assert "does not exist" in str(after.path_problem)
        assert (before.state, after.state, after.wanted) == (State.NOT_INSTALLED, State.NOT_INSTALLED, Wish.DOWN)


async def test_a_remote_ollama_is_never_started(fake: Rig) -> None:
    # 192.0.2.0/24 is for documentation (RFC 5737), and TLS on loopback is some proxy's.
    for url in ("https://127.0.0.1:1", "http://127.0.0.1:1/ollama"):
        fake.url = url
        fake.configure()
        async with fake.supervising() as supervisor:
            with pytest.raises(RemoteOllama):
                await supervisor.start()
            assert fake.starts == 0


async def test_one_elsewhere_that_is_away_is_not_told_as_one_that_is_not_installed(fake: Rig) -> None:
    """No program is needed here for it."""
    fake.url = "https://127.0.0.1:1"
    fake.configure(executable=fake.root / "nowhere" / fake.executable.name)
    async with fake.supervising() as supervisor:
        away = await until_state(supervisor, State.STOPPED)
        assert not away.is_startable
        assert headline(away) == "No Ollama answers where the settings say"
        assert way_out(away)


async def test_settings_that_cannot_be_read_are_not_told_as_an_ollama_that_is_not_installed(
    fake: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(fake.root))
    fake.configure(executable=fake.root / "nowhere" / fake.executable.name)
    fake.paths.settings.write_text(fake.paths.settings.read_text() + "{")
    if any(Path(place).exists() for place in known_executables()):
        pytest.skip("this machine has an Ollama in a known place")
    async with fake.supervising() as supervisor:
        unknown = await until_state(supervisor, State.NOT_INSTALLED)
        assert headline(unknown) == "The settings cannot be used"
        assert detail(unknown) == unknown.settings_problem
        with pytest.raises(ConfigError):
            await supervisor.start()


async def test_proxy_variables_are_ignored_for_loopback(real: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with real.supervising() as supervisor:
        assert (await supervisor.start()).state is State.RUNNING


async def test_damaged_settings_are_told_and_the_last_good_ones_stay_in_force(fake: Rig) -> None:
    async with fake.supervising() as supervisor:
        assert (await supervisor.status()).settings_problem is None
        fake.paths.settings.write_text('{"ollamaUrl": ')
        told = await until(supervisor, lambda status: status.settings_problem is not None)
        assert "settings.json" in str(told.settings_problem)
        assert (await supervisor.start()).url == fake.url
        assert fake.paths.settings.read_text() == '{"ollamaUrl": '


async def test_start_on_launch_starts(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"), startOnLaunch=True)
    async with rig.supervising() as supervisor:
        assert (await until_state(supervisor, State.RUNNING)).wanted is Wish.UP


async def test_closing_refuses_what_is_still_wished(fake: Rig) -> None:
    async with fake.supervising() as supervisor:
        await supervisor.status()
    with pytest.raises(CoreError, match="shutting down"):
        await supervisor.start()


async def test_restart_makes_a_new_process_and_nobody_sees_it_rest_in_between(fake: Rig) -> None:
    async with fake.supervising() as supervisor:
        first = await supervisor.start()
        seen: list[State] = []

        async def watch() -> None:
            with supervisor.subscribe() as statuses:
                async for status in statuses:
                    seen.append(status.state)

        watching = asyncio.create_task(watch())
        second, third = await asyncio.gather(supervisor.restart(), supervisor.restart())
        assert first.pid != second.pid == third.pid
        assert second.state is State.RUNNING
        watching.cancel()
        told = list(dict.fromkeys(seen))
        assert set(told) <= {State.RUNNING, State.STOPPING, State.STARTING}
        assert {State.STOPPING, State.STARTING} <= set(told)


async def test_a_start_is_starting_from_its_first_moment_and_a_refused_one_leaves_what_was(fake: Rig) -> None:
    async with fake.supervising() as supervisor:
        before = await supervisor.status()
        fake.configure(executable=fake.root / "nowhere" / fake.executable.name)
        seen: list[State] = []
        with supervisor.subscribe() as statuses:
            snapshots = aiter(statuses)
            seen.append((await anext(snapshots)).state)
            starting = asyncio.create_task(supervisor.start())
            while State.STARTING not in seen:
                seen.append((await anext(snapshots)).state)
            assert not starting.done()
            with pytest.raises(PathInvalid):
                await starting
        assert (before.state, *dict.fromkeys(seen)) == (State.STOPPED, State.STOPPED, State.STARTING)
        after = await supervisor.status()
        assert (after.state, after.wanted, after.failure) == (State.NOT_INSTALLED, Wish.DOWN, None)


async def test_a_start_beside_a_running_ollama_changes_nothing_that_is_seen(fake: Rig) -> None:
    async with fake.supervising() as supervisor:
        await supervisor.start()
        with supervisor.subscribe() as statuses:
            snapshots = aiter(statuses)
            seen = [await anext(snapshots)]
            await asyncio.gather(*(supervisor.start() for _ in range(5)))
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    while True:
                        seen.append(await anext(snapshots))
        assert {status.state for status in seen} == {State.RUNNING}
        assert all(status.is_running for status in seen)


@tied.linux("the other end of a pipe, which no other system gives by a name")
@pytest.mark.timeout(40)  # the shim waits 5 s and more for the output's end
async def test_a_start_beside_a_dead_ollama_whose_output_is_held_is_no_success(tmp_path: Path) -> None:
    """Its child is deaf to TERM, and a process out of the tree's reach holds both pipes."""
    grandchild = tmp_path / "grandchild"
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_GRANDCHILD=str(grandchild)))
    async with rig.supervising() as supervisor:
        first = await supervisor.start()
        assert first.pid
        with ExitStack() as held:
            for stream in (1, 2):
                held.enter_context(await asyncio.to_thread(open, f"/proc/{first.pid}/fd/{stream}", "wb"))
            psutil.Process(first.pid).kill()
            second = await supervisor.start()
        assert second.pid != first.pid
        assert second.pid
        assert lives(psutil.Process(second.pid))
        assert rig.is_listening


LATE = {
    "greeting late": {"FAKE_HELLO_DELAY": "1.2", "FAKE_TAGS_DELAY": "1.2"},
    "greeting very late": {"FAKE_HELLO_DELAY": "60", "FAKE_TAGS_DELAY": "60"},
    "no greeting, list late": {"FAKE_HELLO_CODE": "404", "FAKE_TAGS_DELAY": "60"},
    "greeting and list fail": {"FAKE_HELLO_CODE": "500", "FAKE_TAGS_STATUS": "500"},
    "no greeting and no list": {"FAKE_HELLO_CODE": "404", "FAKE_TAGS_STATUS": "404"},
    "all late": {"FAKE_HELLO_DELAY": "1.5", "FAKE_TAGS_DELAY": "1.5", "FAKE_VERSION_DELAY": "1.5"},
}


@pytest.mark.parametrize("lateness", LATE.values(), ids=LATE)
async def test_ours_is_ready_once_it_tells_its_version_and_is_asked_for_no_other_sign(
    tmp_path: Path, lateness: dict[str, str]
) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", **lateness))
    async with rig.supervising() as supervisor:
        started = await supervisor.start()
        assert (started.state, started.version) == (State.RUNNING, "0.9.3")
        looked = await supervisor.status()
        assert (looked.state, looked.error) == (State.RUNNING, None), "nor is it while it runs"
        assert (await supervisor.start()).pid == started.pid


@pytest.mark.timeout(20)  # a version that late, and room for a slow machine
@pytest.mark.parametrize("timeout", [2.0, 10.0])
async def test_a_version_that_is_late_is_waited_for_as_long_as_there_is_time(tmp_path: Path, timeout: float) -> None:
    """A probe that gave up after its usual 2 s and asked again would never get it."""
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_VERSION_DELAY="3"), readyTimeout=timeout)
    async with rig.supervising() as supervisor:
        assert (await supervisor.start()).version == "0.9.3"


@pytest.mark.timeout(15)  # it takes three times as long as is usual
@pytest.mark.parametrize("late", ["FAKE_LISTEN_AFTER", "FAKE_SERVE_AFTER"])
@pytest.mark.parametrize("prints", ["FAKE_COUNT", "FAKE_PRINT_EVERY"])
async def test_one_that_still_prints_and_does_not_answer_yet_is_given_more_time_and_that_is_told(
    tmp_path: Path, late: str, prints: str
) -> None:
    """Ollama binds its port before it looks for graphics cards, and answers after that. It prints little meanwhile."""
    lateness = {late: str(tied.seconds(4.5))}
    printing = {prints: str(tmp_path / "count") if prints == "FAKE_COUNT" else str(tied.seconds(1.2))}
    program = fake_ollama.install(tmp_path / "bin", **printing, **lateness)
    rig = Rig(tmp_path, program, readyTimeout=tied.seconds(2.0))
    async with rig.supervising() as supervisor:
        starting = asyncio.create_task(supervisor.start())
        waiting = await until(supervisor, lambda status: status.waits_for is not None)
        assert (waiting.state, waiting.failure) == (State.STARTING, None)
        assert waiting.waits_for == readiness.STILL_PRINTS
        started = await starting
        assert (started.state, started.waits_for) == (State.RUNNING, None)


@pytest.mark.timeout(15)  # it takes three times as long as is usual
async def test_one_that_holds_its_port_in_silence_is_given_more_time_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "SILENCE_SECONDS", 0.0)
    program = fake_ollama.install(tmp_path / "bin", FAKE_SERVE_AFTER=str(tied.seconds(4.0)))
    rig = Rig(tmp_path, program, readyTimeout=tied.seconds(1.0))
    async with rig.supervising() as supervisor:
        starting = asyncio.create_task(supervisor.start())
        waiting = await until(supervisor, lambda status: status.waits_for is not None)
        assert waiting.state is State.STARTING
        assert waiting.waits_for in (readiness.STILL_PRINTS, readiness.HAS_ITS_PORT)
        assert (await starting).state is State.RUNNING


@pytest.mark.timeout(15)  # it is given more than the usual time
@pytest.mark.parametrize("port", ["FAKE_NO_LISTEN", "FAKE_SERVE_AFTER"])
async def test_one_that_never_answers_is_ended_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: str
) -> None:
    """Whether it prints for ever and takes no port, or takes its port and is silent."""
    monkeypatch.setattr(readiness, "EXTRA_SECONDS", tied.seconds(1.5))
    behaviour = {port: "60"} | ({"FAKE_COUNT": str(tmp_path / "count")} if port == "FAKE_NO_LISTEN" else {})
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", **behaviour), readyTimeout=tied.seconds(1.0))
    async with rig.supervising() as supervisor:
        began = time.monotonic()
        with pytest.raises(StartTimedOut, match="did not answer at"):
            await supervisor.start()
        assert time.monotonic() - began > tied.seconds(2.5)
        assert not psutil.pid_exists(rig.record.pid)


async def test_one_without_a_port_that_has_said_its_last_gets_little_more_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "SILENCE_SECONDS", tied.seconds(1.5))
    program = fake_ollama.install(tmp_path / "bin", FAKE_NO_LISTEN="1", FAKE_STDERR="looking for cards\n")
    rig = Rig(tmp_path, program, readyTimeout=tied.seconds(1.0))
    async with rig.supervising() as supervisor:
        began = time.monotonic()
        with pytest.raises(StartTimedOut):
            await supervisor.start()
        assert tied.seconds(1.5) < time.monotonic() - began < tied.seconds(5.0)


async def test_an_error_that_is_told_again_and_again_does_not_grow(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_EXIT="3"))
    async with rig.supervising() as supervisor:
        depths = []
        for _ in range(20):
            with pytest.raises(SpawnFailed) as failure:
                await supervisor.start()
            depths.append(len(failure.traceback))
        assert max(depths[1:]) == min(depths[1:])
        assert rig.starts == 1
        together = await asyncio.gather(*(supervisor.start() for _ in range(5)), return_exceptions=True)
        assert len({id(error) for error in together}) == 5
        failed = (await supervisor.status()).failure
        assert failed
        assert failed.__traceback__ is None
    depths = []
    for _ in range(20):
        with pytest.raises(ShuttingDown) as goodbye:
            await supervisor.start()
        depths.append(len(goodbye.traceback))
    assert max(depths) == min(depths)


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:99999", "http://u:p[w@127.0.0.1:9", "http://u:p#w@127.0.0.1:9"])
async def test_a_proxy_that_is_no_url_is_news_and_not_the_end(
    fake: Rig, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    here, fake.url = fake.url, "http://192.0.2.1:11434"
    fake.configure()
    async with fake.supervising() as supervisor:
        status = await supervisor.status()
        assert (status.is_running, status.error) == (False, "Not reachable")
        assert status.cause
        assert (await supervisor.models()).error == "Not reachable"
        with pytest.raises(RemoteOllama):
            await supervisor.start()
        fake.url = here
        fake.configure()
        assert (await supervisor.start()).state is State.RUNNING


async def test_settings_that_have_never_been_readable_refuse_a_start(fake: Rig) -> None:
    """What stands in there may be another executable and another port."""
    good = fake.paths.settings.read_text()
    fake.paths.settings.write_text(good[:-1])
    async with fake.supervising() as supervisor:
        with pytest.raises(ConfigError, match=r"settings\.json"):
            await supervisor.start()
        status = await supervisor.status()
        assert "settings.json" in str(status.settings_problem)
        assert fake.starts == 0
        fake.paths.settings.write_text(good)
        assert (await supervisor.start()).state is State.RUNNING


@tied.posix("HOME is no such variable there")
async def test_an_ollama_without_a_home_ends_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under a service manager; its own words are a panic with a stack trace."""
    rig = Rig(tmp_path, require(ollama).executable, env={})
    monkeypatch.delenv("HOME")
    async with rig.supervising() as supervisor:
        with pytest.raises(SpawnFailed) as caught:
            await supervisor.start()
        assert '"HOME"' in str(caught.value.action)
        rig.configure(env={"HOME": str(tmp_path)})
        assert (await supervisor.start(by_user=True)).is_running
