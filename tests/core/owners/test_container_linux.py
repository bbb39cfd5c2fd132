"""The owner `container:NAME` against a real Podman and a real Docker, which run the real Ollama."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest

from api.schemas.lifecycle import status_body
from core.errors import SpawnFailed, StopFailed
from core.owners.container.owner import ContainerOwner
from core.owners.exit import Sequel
from core.owners.protocol import Condition, Plan, Running, Terms
from core.settings.paths import Paths
from core.supervision.state import State
from core.supervision.supervisor import Supervisor
from tests.beds.engines import ENGINES, Docker, Engine
from tests.beds.require import require
from tests.beds.wire import call, free_port
from tests.core.owners.test_shim_start import plan_for
from tests.rig import Rig
from tests.words import raw

pytestmark = [
    # aiodocker leaves the connection of a refused call open if that call is cancelled while it reads why.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <function Connection.__del__:pytest.PytestUnraisableExceptionWarning"
    ),
    pytest.mark.filterwarnings("ignore:Unclosed connection:ResourceWarning"),
    pytest.mark.timeout(60),
]
DEADLINE = 20.0


@dataclass
class Told:
    """What an owner tells, noted."""

    runs: list[Running] = field(default_factory=list)
    given_up: list[str | None] = field(default_factory=list)
    trouble: list[str | None] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)

    async def found(self, running: Running) -> None:
        self.runs.append(running)

    def gave_up(self, why: str | None) -> None:
        self.given_up.append(why)

    def condition(self, condition: Condition) -> None:
        self.conditions.append(condition)

    def troubled(self, why: str | None) -> None:
        self.trouble.append(why)

    def looked(self, *, is_known: bool) -> None:
        pass


async def until(fact: Callable[..., object], *about: object) -> None:
    """Wait until that is true, about these; fail if it does not become so in time."""
    async with asyncio.timeout(DEADLINE):
        while not await asyncio.to_thread(fact, *about):
            await asyncio.sleep(0.02)


@asynccontextmanager
async def attended(owner: ContainerOwner, instance: str = "default") -> AsyncIterator[Told]:
    """What that owner tells meanwhile."""
    told = Told()
    attending = asyncio.create_task(owner.attend(instance, Terms(2.0, {}), told))
    try:
        yield told
    finally:
        attending.cancel()
        await asyncio.gather(attending, return_exceptions=True)


def owner_in(folder: Path) -> ContainerOwner:
    """The owner of the container `ollama`, with its data in that folder."""
    Paths(folder).data.mkdir(parents=True, exist_ok=True)
    return ContainerOwner(Paths(folder), "container:ollama")


def plan(folder: Path, port: int) -> Plan:
    return replace(plan_for(folder), url=f"http://127.0.0.1:{port}", port=port)


def version(port: int) -> bool:
    try:
        return call("GET", f"http://127.0.0.1:{port}/api/version", timeout=2.0).status == 200
    except OSError:
        return False


async def test_a_container_is_started_told_of_and_stopped(tmp_path: Path, engine: Engine) -> None:
    port = free_port()
    engine.create("ollama", port)
    owner = owner_in(tmp_path)
    running = await owner.start(plan(tmp_path, port))
    ended = asyncio.create_task(running.ended())
    await until(lambda: version(port))
    assert running.url == f"http://127.0.0.1:{port}"
    assert running.pid in await asyncio.to_thread(running.usage)
    assert await asyncio.to_thread(running.owns, running.pid)
    assert not await asyncio.to_thread(running.owns, os.getpid())
    assert await running.lives()
    assert (await owner.start(plan(tmp_path, port))).pid == running.pid
    await running.stop()
    exit = await asyncio.wait_for(ended, DEADLINE)
    assert (exit.reason, exit.code, exit.sequel) == ("stopped", 0, Sequel.OURS)
    assert not await running.lives()
    assert not engine.inspect("ollama")["State"]["Running"]


async def test_a_running_container_is_found_and_what_it_prints_is_copied_once(tmp_path: Path, engine: Engine) -> None:
    port = free_port()
    engine.run("ollama", port)
    await until(lambda: version(port))
    owner = owner_in(tmp_path)
    for _ in range(2):
        async with attended(owner) as told:
            await until(lambda: told.runs)
            await until(lambda: any("inference compute" in line for line in owner.logs("default").tail(100)))
    lines = await asyncio.to_thread(owner.logs("default").tail, 1000)
    assert sum("Listening on" in line for line in lines) == 1
    assert all(line.startswith("[ERR] 20") for line in lines if "Listening on" in line)


async def test_a_container_whose_turn_comes_again_after_another_ones_is_copied_once(
    tmp_path: Path, engine: Engine
) -> None:
    for name in ("ollama", "other"):
        engine.run(name, free_port(), command=[f"echo words of {name}; sleep 600"])
    logs = owner_in(tmp_path).logs("default")

    def words() -> list[str]:
        return [line.partition("words of ")[2] for line in logs.tail(100)]

    for name, expected in (("ollama", 1), ("other", 2), ("ollama", 2)):
        owner = ContainerOwner(Paths(tmp_path), f"container:{name}")
        async with attended(owner) as told:
            await until(lambda told: told.runs, told)
            await until(lambda count: len(words()) >= count, expected)
    owner = owner_in(tmp_path)
    async with attended(owner):
        await asyncio.to_thread(engine.remove, "ollama")
        engine.run("ollama", free_port(), command=["echo words of the last; sleep 600"])
        await until(lambda: words()[-1:] == ["the last"])
    assert await asyncio.to_thread(words) == ["ollama", "other", "the last"]


async def test_secrets_in_its_variables_are_starred_in_the_copy(tmp_path: Path, engine: Engine) -> None:
    port = free_port()
    # Ollama prints its variables when it begins.
    proxy = {"HTTPS_PROXY": "http://somebody:aSecretOfMine@127.0.0.1:9", "OLLAMA_ORIGINS": "http://kept.example"}
    engine.run("ollama", port, env=proxy | {"MY_API_KEY": "http://kept.example"})
    owner = owner_in(tmp_path)
    async with attended(owner) as told:
        await until(lambda: told.runs)
        await until(lambda: any("server config" in line for line in owner.logs("default").tail(100)))
    lines = await asyncio.to_thread(owner.logs("default").tail, 100)
    config = next(line for line in lines if "server config" in line)
    assert "aSecretOfMine" not in config
    assert "kept.example" not in config
    assert "***" in config


async def test_a_crash_that_the_engine_mends_is_told_as_such(tmp_path: Path, engine: Engine) -> None:
    port = free_port()
    engine.run("ollama", port, policy="always")
    owner = owner_in(tmp_path)
    async with attended(owner) as told:
        await until(lambda: told.runs)
        first = told.runs[0]
        ended = asyncio.create_task(first.ended())
        await until(lambda: version(port))
        psutil.Process(first.pid).kill()
        exit = await asyncio.wait_for(ended, DEADLINE)
        assert exit.sequel is Sequel.RESTARTED
        await until(lambda: len(told.runs) == 2)
        assert told.runs[1].pid != first.pid
        assert not told.given_up
        # One restart, the engine's.
        assert engine.inspect("ollama")["RestartCount"] == 1
        await until(lambda: version(port))
        logs = owner.logs("default")
        await until(lambda: sum("Listening on" in line for line in logs.tail(1000)) == 2)


async def test_a_crash_that_nobody_mends_leaves_it_down(tmp_path: Path, engine: Engine) -> None:
    port = free_port()
    engine.create("ollama", port)
    running = await owner_in(tmp_path).start(plan(tmp_path, port))
    ended = asyncio.create_task(running.ended())
    psutil.Process(running.pid).kill()
    exit = await asyncio.wait_for(ended, DEADLINE)
    assert (exit.code, exit.reason, exit.sequel) == (-9, "exited", Sequel.LEFT)


async def test_its_health_and_its_restarts_by_the_engine_are_told(tmp_path: Path, engine: Engine) -> None:
    rig = Rig(tmp_path, tmp_path / "no-ollama", owner="container:ollama")
    # Docker looks by itself; Podman has systemd call for each look, and here the test does.
    look = {
        "Test": ["CMD-SHELL", "[ ! -e /ill ] || { echo it is ill: $MY_API_KEY; exit 1; }"],
        "Interval": 10**9,
        "Retries": 1,
    }
    first = engine.run(
        "ollama", rig.port, policy="always", env={"MY_API_KEY": "aSecretOfMine"}, config={"Healthcheck": look}
    )

    def has(supervisor: Supervisor, health: str | None, restarts: int | None) -> bool:
        engine.look_at_health("ollama")
        condition = supervisor.current.condition
        return (condition.health, condition.restarts) == (health, restarts)

    async with rig.supervising() as supervisor:
        await until(has, supervisor, "healthy", 0)
        Path(f"/proc/{first}/root/ill").touch()
        await until(has, supervisor, "unhealthy", 0)
        body = status_body(supervisor.current)
        assert (body.health, body.owner_restarts) == ("unhealthy", 0)
        assert body.detail == body.reason == "The health check of the container ollama fails: it is ill: ***."
        psutil.Process(first).kill()
        await until(has, supervisor, "unhealthy", 1)
        await supervisor.stop()
        await until(has, supervisor, None, None)
        assert status_body(supervisor.current).reason is None


async def test_an_engine_that_gives_up_is_respected(tmp_path: Path, engine: Engine) -> None:
    engine.create("ollama", free_port(), command=["echo words; sleep 600"], policy="on-failure", retries=1)
    owner = owner_in(tmp_path)
    async with attended(owner) as told:
        await asyncio.to_thread(engine.call, "POST", "/containers/ollama/start")
        for number, sequel in enumerate((Sequel.RESTARTED, Sequel.LEFT), 1):
            await until(lambda count: len(told.runs) == count, number)
            ended = asyncio.create_task(told.runs[-1].ended())
            await until(lambda count: words_in(owner) == count, number)
            psutil.Process(told.runs[-1].pid).kill()
            assert (await asyncio.wait_for(ended, DEADLINE)).sequel is sequel
        assert [why for why in told.given_up if why is None] == []


def words_in(owner: ContainerOwner) -> int:
    """How many lines of that word the log has."""
    return sum(line.endswith(" words") for line in owner.logs("default").tail(1000))


async def test_a_stop_by_hand_is_no_crash(tmp_path: Path, engine: Engine) -> None:
    port = free_port()
    engine.run("ollama", port, policy="always")
    async with attended(owner_in(tmp_path)) as told:
        await until(lambda: told.runs)
        ended = asyncio.create_task(told.runs[0].ended())
        await until(lambda: version(port))
        await asyncio.to_thread(engine.call, "POST", "/containers/ollama/stop?t=3")
        exit = await asyncio.wait_for(ended, DEADLINE)
        assert exit.sequel is Sequel.STOPPED
        await asyncio.to_thread(engine.call, "POST", "/containers/ollama/start")
        await until(lambda: len(told.runs) == 2)


async def test_lines_are_neither_lost_nor_told_twice_however_often_the_copy_breaks_off(
    tmp_path: Path, engine: Engine
) -> None:
    count = 400
    script = f"i=0; while [ $i -lt {count} ]; do echo line $i; i=$((i+1)); [ $((i%20)) -ne 0 ] || sleep 0.05; done"
    engine.create("ollama", free_port(), command=[f"{script}; sleep 600"])
    await asyncio.to_thread(engine.call, "POST", "/containers/ollama/start")

    def copied() -> list[str]:
        lines = owner_in(tmp_path).logs("default").tail(10_000)
        return [line.partition("line ")[2] for line in lines if "line " in line]

    seen = 0
    while seen < count:
        # A new owner each time, as in a sidecar that was killed and started again.
        async with attended(owner_in(tmp_path)):
            await until(lambda before: len(copied()) > before, seen)
        seen = len(await asyncio.to_thread(copied))
    assert await asyncio.to_thread(copied) == [str(number) for number in range(count)]


async def test_lines_that_a_container_prints_all_at_once_after_its_start_are_copied(
    tmp_path: Path, engine: Engine
) -> None:
    """Podman leaves some out while it is followed, in one start of ten."""
    numbers = [str(number) for number in range(400)]
    script = "i=0; while [ $i -lt 400 ]; do echo line $n.$i; i=$((i+1)); done"
    again = "n=$(($(cat /n 2>/dev/null || echo 0) + 1)); echo $n >/n"
    engine.create("ollama", free_port(), command=[f"{again}; {script}; trap exit TERM; while true; do sleep 0.1; done"])
    owner = owner_in(tmp_path)

    def copied(run: int) -> list[str]:
        lines = owner.logs("default").tail(10_000)
        return [line.partition(f" line {run}.")[2] for line in lines if f" line {run}." in line]

    async with attended(owner):
        for run in range(1, 6):
            await asyncio.to_thread(engine.call, "POST", "/containers/ollama/start")
            await until(lambda run: copied(run)[-1:] == numbers[-1:], run)
            assert await asyncio.to_thread(copied, run) == numbers
            await asyncio.to_thread(engine.call, "POST", "/containers/ollama/stop?t=5")


async def test_what_a_container_that_was_long_missing_prints_is_copied_from_its_start_on(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("owner", "copy"):
        monkeypatch.setattr(f"core.owners.container.{module}._RETRY_SECONDS", 600.0)
        monkeypatch.setattr(f"core.owners.container.{module}._LONGEST_RETRY_SECONDS", 600.0)
    owner = owner_in(tmp_path)
    port = free_port()
    async with attended(owner) as told:
        await until(lambda: told.trouble)
        engine.create("ollama", port)
        await owner.start(plan(tmp_path, port))
        await until(lambda: told.runs)
        await until(lambda: any("Listening on" in line for line in owner.logs("default").tail(100)))


async def test_the_log_goes_on_over_restarts_without_a_gap(tmp_path: Path, engine: Engine) -> None:
    script = (
        'n=$(cat /n 2>/dev/null || echo 0); echo run $n begins; echo $((n+1)) >/n; trap "echo run $n ends; exit" TERM'
    )
    engine.create("ollama", free_port(), command=[f"{script}; while true; do sleep 0.05; done"])
    owner = owner_in(tmp_path)

    def told_of() -> list[str]:
        return [line[26:] for line in owner.logs("default").tail(1000) if " run " in line]

    async with attended(owner):
        for number in range(3):
            await asyncio.to_thread(engine.call, "POST", "/containers/ollama/start")
            await until(lambda text: text in told_of(), f"run {number} begins")
            await asyncio.to_thread(engine.call, "POST", "/containers/ollama/stop?t=5")
        await until(lambda: "run 2 ends" in told_of())
    expected = [f"run {number} {word}" for number in range(3) for word in ("begins", "ends")]
    assert await asyncio.to_thread(told_of) == expected


@pytest.mark.parametrize("kind", ENGINES)
async def test_an_engine_that_is_restarted_meanwhile_is_found_again(
    tmp_path: Path, kind: type[Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="aura-engine-"))
    engine = require(lambda: kind(folder))
    monkeypatch.setenv("DOCKER_HOST", engine.url)
    try:
        await asyncio.to_thread(lambda: require(engine.__enter__))
        engine.run("ollama", port, policy="always")
        async with attended(owner_in(tmp_path)) as told:
            await until(lambda: told.runs)
            first = told.runs[0]
            ended = asyncio.create_task(first.ended())
            await until(lambda: version(port))
            await asyncio.to_thread(engine.stop)
            await until(lambda: told.trouble[-1])
            assert str(engine.socket) in str(told.trouble[-1])
            assert [text for text in told.trouble if text and raw(text)] == []
            await asyncio.to_thread(engine.start)
            await until(lambda: told.trouble[-1] is None)
            if kind is Docker:
                # It ends its containers with itself, and starts those again whose policy says so.
                exit = await asyncio.wait_for(ended, DEADLINE)
                assert exit.sequel in (Sequel.RESTARTED, Sequel.STOPPED)
                await until(lambda: len(told.runs) == 2)
            else:
                assert await first.lives()
                assert not ended.done()
                ended.cancel()
                await asyncio.gather(ended, return_exceptions=True)
            await until(lambda: version(port))
    finally:
        await asyncio.to_thread(engine.__exit__, None, None, None)


async def test_what_cannot_be_started_is_said_in_words(tmp_path: Path, engine: Engine) -> None:
    port = free_port()
    owner = owner_in(tmp_path)
    with pytest.raises(SpawnFailed, match="has no container ollama") as missing:
        await owner.check(plan(tmp_path, port))
    assert "container create" in str(missing.value.action)
    engine.create("ollama", port)
    await owner.check(plan(tmp_path, port))
    other = free_port()
    with pytest.raises(
        SpawnFailed, match=f"not publish its Ollama at http://127.0.0.1:{other}, but at .*{port}"
    ) as moved:
        await owner.start(plan(tmp_path, other))
    assert f'Set ollamaUrl to "http://127.0.0.1:{port}"' in str(moved.value.action)
    assert not engine.inspect("ollama")["State"]["Running"]


async def test_a_container_that_ends_at_once_was_not_started(tmp_path: Path, engine: Engine) -> None:
    port = free_port()
    engine.create("ollama", port, command=["/bin/nothing"], config={"Entrypoint": ["/bin/nothing"]})
    with pytest.raises(SpawnFailed):
        await owner_in(tmp_path).start(plan(tmp_path, port))


async def test_a_container_that_is_removed_meanwhile_has_been_stopped(tmp_path: Path, engine: Engine) -> None:
    port = free_port()
    engine.create("ollama", port, policy="always")
    running = await owner_in(tmp_path).start(plan(tmp_path, port))
    ended = asyncio.create_task(running.ended())
    await asyncio.to_thread(engine.remove, "ollama")
    exit = await asyncio.wait_for(ended, DEADLINE)
    assert exit.sequel is Sequel.STOPPED
    assert not await running.lives()
    await running.stop()


async def test_a_socket_that_accepts_and_never_answers_costs_a_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.owners.container.engine.CALL_SECONDS", 0.3)
    with socket.socket(getattr(socket, "AF_UNIX", socket.AF_INET)) as hanging:
        hanging.bind(str(tmp_path / "s"))
        hanging.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 's'}")
        owner = owner_in(tmp_path)
        with pytest.raises(SpawnFailed, match="does not answer"):
            await owner.start(plan(tmp_path, free_port()))
        with pytest.raises(StopFailed, match="does not answer"):
            await owner.call_off("default")
        async with attended(owner) as told:
            await until(lambda: told.trouble)
            assert "does not answer" in str(told.trouble[0])


async def test_a_socket_that_is_missing_or_over_the_network_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = owner_in(tmp_path)
    for value, words in (
        (f"unix://{tmp_path / 'nowhere'}", "No container engine listens at"),
        ("tcp://127.0.0.1:2375", "over the network"),
        ("ssh://somebody@somewhere", "over the network"),
        ("rubbish", "not understood"),
    ):
        monkeypatch.setenv("DOCKER_HOST", value)
        with pytest.raises(SpawnFailed, match=words) as failure:
            await owner.check(plan(tmp_path, free_port()))
        assert failure.value.action


def test_one_who_may_not_open_the_socket_is_told_who_may(tmp_path: Path, engine: Engine) -> None:
    script = (
        "import asyncio, sys\n"
        "from core.owners.container.engine import Engine, EngineFault\n"
        "async def ask():\n"
        "    try: await Engine(sys.argv[1]).inspect('ollama')\n"
        "    except EngineFault as fault: print(fault.message, fault.action)\n"
        "asyncio.run(ask())\n"
    )
    # Of another user, and the folder open to all: the socket itself is what refuses.
    engine.folder.chmod(0o755)
    engine.socket.chmod(0o660)
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", script, engine.url]
    said = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=True, env=os.environ).stdout
    assert "may not be opened by this user" in said
    assert "root on this machine" in said


async def test_two_engines_with_a_container_of_that_name_are_told_apart_by_the_user(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.create("ollama", free_port())
    monkeypatch.delenv("DOCKER_HOST")
    other = tmp_path / "other"
    other.symlink_to(engine.socket)
    sockets = (engine.url, f"unix://{other}", f"unix://{tmp_path / 'none'}")
    monkeypatch.setattr("core.owners.container.engine.known_sockets", lambda: sockets)
    with pytest.raises(SpawnFailed, match="There is a container ollama at") as failure:
        await owner_in(tmp_path).check(plan(tmp_path, free_port()))
    assert "DOCKER_HOST" in str(failure.value.action)


async def test_a_supervisor_controls_it_like_any_other_and_quit_leaves_it(tmp_path: Path, engine: Engine) -> None:
    rig = Rig(tmp_path, tmp_path / "no-ollama", owner="container:ollama")
    engine.create("ollama", rig.port, policy="always")
    async with rig.supervising() as supervisor:
        status = await supervisor.start()
        assert (status.state, status.controlled_by) == (State.RUNNING, "container:ollama")
        assert status.is_managed
        first = status.pid
        assert first
        psutil.Process(first).kill()
        await until(lambda: supervisor.current.pid not in (None, first) and supervisor.current.error is None)
        assert (supervisor.current.state, supervisor.current.restarts) == (State.RUNNING, 1)
        assert engine.inspect("ollama")["RestartCount"] == 1
        assert (await supervisor.stop()).state is State.STOPPED
        assert not engine.inspect("ollama")["State"]["Running"]
        await supervisor.start()
        supervisor.close(stop_ollama=True)
    assert engine.inspect("ollama")["State"]["Running"]
    async with rig.supervising() as supervisor:
        await until(lambda: supervisor.current.state is State.RUNNING)
        assert supervisor.current.adopted
