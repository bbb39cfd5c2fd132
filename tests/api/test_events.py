"""`GET /api/ollama/events` over real HTTP: the greeting, the news, who comes back, and what slow readers cost."""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from core.events.history import MOST_EVENTS, EventType
from core.supervision.poller import OBSERVE_SECONDS
from core.supervision.state import State
from tests import fake_ollama, tied
from tests.api.serving import Served, serving
from tests.api.streaming import DEADLINE, all_streams, assert_refused, curled, memory, reading, warm_memory
from tests.api.test_server import Place
from tests.beds.ollama import ollama
from tests.beds.publishing import publishing
from tests.beds.require import require
from tests.beds.server import OllamaServer
from tests.beds.sse import ServerEvent
from tests.rig import Rig, until_state

EVENTS = "/api/ollama/events"
STATUS_KEYS = {"running", "pid", "managedByApp", "model", "error", "state", "wanted", "baseUrl"}


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A stand-in that would start at once."""
    return Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_MODELS="a,b"))


def publish(served: Served, count: int) -> None:
    """As a feature to come publishes the progress of its jobs."""
    for _ in range(count):
        number = served.supervisor.events.newest + 1
        served.supervisor.events.publish(EventType.JOB, "default", {"number": number})


async def one_of(events: AsyncIterator[ServerEvent], *types: str) -> ServerEvent:
    """The next event of one of these types."""
    async with asyncio.timeout(DEADLINE):
        async for event in events:
            if event.type in types:
                return event
    raise AssertionError(f"the stream ended without {types}")


async def test_a_new_reader_is_greeted_told_what_is_and_then_what_happens(rig: Rig) -> None:
    async with serving(rig) as served, reading(served, EVENTS) as events:
        hello = await anext(events)
        status = await anext(events)
        newest = served.supervisor.events.id_of(served.supervisor.events.newest)
        assert (hello.type, hello.json["type"], hello.json["id"]) == ("hello", "hello", newest)
        assert hello.json["epoch"] == served.supervisor.events.epoch
        assert (status.type, status.last_id, status.json["instance"]) == ("status", newest, "default")
        assert status.json["state"] == "stopped"
        assert status.json.keys() >= STATUS_KEYS | {"id", "epoch", "at", "instance", "type"}
        await served.supervisor.start()
        found = [await one_of(events, "status", "models", "log")]
        while found[-1].type != "models" or found[-1].json["loaded"] != ["a"] or found[-1].json["count"] != 2:
            found.append(await one_of(events, "status", "models", "log"))
    states = [event.json["state"] for event in found if event.type == "status"]
    assert list(dict.fromkeys(states)) == ["stopped", "starting", "running"]
    log = next(event for event in found if event.type == "log")
    assert [path.name for path in rig.paths.logs.iterdir()] == [log.json["file"]]
    numbers = [int(event.last_id.rpartition("-")[2]) for event in found]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert [event.json["id"] for event in found] == [event.last_id for event in found]


async def test_a_change_of_the_settings_is_told_by_the_names_of_the_keys(rig: Rig) -> None:
    async with serving(rig) as served, reading(served, f"{EVENTS}?types=settings") as events:
        assert (await anext(events)).type == "hello"
        await asyncio.to_thread(rig.configure, readyTimeout=12)
        # Any call of the API reads them anew, as does a look now and then.
        await served.supervisor.settings.fresh()
        assert (await one_of(events, "settings")).json["changed"] == ["readyTimeout"]
        await asyncio.to_thread(rig.paths.sidecar.write_text, "{")
        await served.supervisor.settings.fresh()
        event = await one_of(events, "settings")
        assert event.json["changed"] == []
        assert "ollama-sidecar.json" in event.json["settingsError"]


@pytest.mark.parametrize("by", ["header", "query", "both"])
async def test_whoever_comes_back_gets_what_it_missed_and_nothing_twice(rig: Rig, by: str) -> None:
    async with serving(rig) as served:
        history = served.supervisor.events
        await served.supervisor.status()
        publish(served, 10)
        last, old = history.id_of(history.newest - 4), history.id_of(history.newest - 9)
        query = {"header": "", "query": f"?since={last}", "both": f"?since={old}"}[by]
        async with reading(served, EVENTS + query, "" if by == "query" else last) as events:
            assert (await anext(events)).type == "hello"
            publish(served, 3)
            found = [await one_of(events, *EventType) for _ in range(7)]
    assert [event.last_id for event in found] == [history.id_of(history.newest - 6 + each) for each in range(7)]
    assert {event.type for event in found} == {"job"}


async def test_what_is_lost_is_counted_and_the_present_status_told(rig: Rig) -> None:
    async with serving(rig) as served:
        history = served.supervisor.events
        await served.supervisor.status()
        publish(served, 10)
        last = history.newest - 5
        publish(served, MOST_EVENTS + 20)
        async with reading(served, EVENTS, history.id_of(last)) as events:
            assert (await anext(events)).type == "hello"
            gap, status = await anext(events), await anext(events)
            found = [await anext(events) for _ in range(MOST_EVENTS)]
    oldest = history.newest - MOST_EVENTS + 1
    assert (gap.type, gap.json["lost"]) == ("gap", oldest - last - 1)
    assert (status.type, status.last_id) == ("status", history.id_of(oldest - 1))
    assert [event.last_id for event in found] == [history.id_of(oldest + each) for each in range(MOST_EVENTS)]


async def test_a_reader_of_another_run_is_told_that_it_cannot_be_known_what_it_lost(rig: Rig) -> None:
    async with serving(rig) as served, reading(served, EVENTS, "0badcafe-12") as events:
        found = [await anext(events) for _ in range(3)]
    assert [event.type for event in found] == ["hello", "gap", "status"]
    assert found[1].json["lost"] is None


async def test_a_reader_gets_the_types_that_it_names_and_a_place_for_the_others(rig: Rig) -> None:
    """So that who is told little does not come back to where nothing is kept any more."""
    async with serving(rig) as served:
        history = served.supervisor.events
        async with (
            reading(served, f"{EVENTS}?types=log,models") as named,
            reading(served, EVENTS) as default,
        ):
            assert [(await anext(named)).type for _ in range(2)] == ["hello", "place"]
            assert [(await anext(default)).type for _ in range(2)] == ["hello", "status"]
            history.publish(EventType.LOG, "default", {"n": 1})
            # Whoever names these has real ones published as well.
            history.publish(EventType.METRICS, "default", {"n": 3})
            history.publish(EventType.JOB, "default", {"n": 2})
            assert (await anext(named)).json["n"] == 1
            assert (await anext(named)).last_id == history.id_of(history.newest)
            # Whoever names no types gets all but the metrics.
            assert (await one_of(default, "job", "metrics")).json["n"] == 2


async def test_a_fault_of_ours_ends_the_stream_with_a_word_and_is_in_our_log(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(rig) as served, reading(served, EVENTS) as events:
        assert [(await anext(events)).type for _ in range(2)] == ["hello", "status"]
        served.supervisor.events.publish(EventType.JOB, "default", {"no JSON": object()})
        end = await one_of(events, "end")
        assert end.json["reason"] == "fault"
        assert [event async for event in events] == []
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"]


@pytest.mark.parametrize(
    ("query", "last", "named"),
    [
        ("?types=", "", "types"),
        ("?types=status,nothing", "", "types"),
        ("?types=hello", "", "types"),
        ("?since=7", "", "since"),
        ("?since=0badcafe-", "", "since"),
        ("", "x-1", "Last-Event-ID"),
    ],
)
async def test_what_cannot_be_used_is_refused_before_a_stream_begins(
    rig: Rig, query: str, last: str, named: str
) -> None:
    async with serving(rig) as served:
        await assert_refused(served, EVENTS + query, last, named)


@pytest.mark.timeout(30)  # two thousand events for five readers who come anew all the time, on two busy cores
async def test_readers_that_come_and_go_miss_nothing_and_get_nothing_out_of_order(rig: Rig) -> None:
    """Five of them, while two thousand events happen, each with places and patience of its own."""

    async def read(seed: int) -> list[int]:
        chance = random.Random(seed)
        found: list[int] = []
        last = first
        while not found or found[-1] < history.newest or not is_over.is_set():
            async with reading(served, f"{EVENTS}?types=job", last) as events:
                assert (await anext(events)).type == "hello"
                for _ in range(chance.randint(1, 200)):
                    event = await one_of(events, "job", "gap")
                    assert event.type == "job", event
                    found.append(event.json["number"])
                    came_to[seed] = found[-1]
                    last = event.last_id
                    if is_over.is_set() and found[-1] == history.newest:
                        break
        return found

    is_over = asyncio.Event()
    async with serving(rig) as served, asyncio.TaskGroup() as tasks:
        history = served.supervisor.events
        await served.supervisor.status()
        publish(served, 1)
        first = history.id_of(history.newest)
        begin = history.newest
        came_to = dict.fromkeys(range(5), begin)
        readers = [tasks.create_task(read(seed)) for seed in range(5)]
        for _ in range(100):
            publish(served, 20)
            # Else a reader on a busy machine would rightly be told of a gap.
            while history.newest - min(came_to.values()) > MOST_EVENTS // 2:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)
        is_over.set()
        publish(served, 1)
    for reader in readers:
        assert reader.result() == list(range(begin + 1, history.newest + 1))


async def test_the_end_of_a_managed_ollama_is_told_at_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path, require(ollama).executable)
    spans = []
    async with serving(rig) as served, reading(served, f"{EVENTS}?types=status") as events:
        for _ in range(3):
            pid = (await served.supervisor.start(by_user=True)).pid
            while (event := await one_of(events, "status")).json["state"] != "running":
                pass
            assert event.json["pid"] == pid
            spans.append(await _seconds_until_told(psutil.Process(pid or 0), events, "failed"))
    assert statistics.median(spans) < 0.25, spans


async def test_the_end_of_an_ollama_of_somebody_else_is_told_at_once(tmp_path: Path) -> None:
    bed = require(ollama)
    rig = Rig(tmp_path, bed.executable)
    with OllamaServer(tmp_path / "home", executable=bed.executable, port=rig.port) as server:
        async with serving(rig) as served, reading(served, f"{EVENTS}?types=status") as events:
            await until_state(served.supervisor, State.EXTERNAL)
            while (await one_of(events, "status")).json["state"] != "external":
                pass
            span = await _seconds_until_told(psutil.Process(server.pid), events, "stopped")
    # One whose process the system does not tell is looked at each 5 s.
    assert span < (0.25 if tied.owner(server.pid) else OBSERVE_SECONDS + 1)


async def _seconds_until_told(ollama: psutil.Process, events: AsyncIterator[ServerEvent], state: str) -> float:
    loop = asyncio.get_running_loop()
    killed = loop.time()
    await asyncio.to_thread(ollama.kill)
    while (await one_of(events, "status")).json["state"] != state:
        pass
    return loop.time() - killed


@tied.linux("measures the memory of a process as Linux counts it")
@pytest.mark.timeout(40)  # a sidecar starts, on two busy cores
async def test_32_readers_cost_less_than_10_mb_and_one_that_reads_is_held_up_by_none_that_does_not(
    tmp_path: Path,
) -> None:
    """Thirty-one read nothing, while twenty times as much happens as the history keeps."""
    with publishing(tmp_path) as sidecar:
        before = await warm_memory(sidecar.url, sidecar.pid)
        async with all_streams(sidecar.url, EVENTS) as readers:
            told = asyncio.create_task(_until_number(readers[0], 20 * MOST_EVENTS - 1))
            most = 0
            for _ in range(20):
                await asyncio.to_thread(sidecar.publish, MOST_EVENTS)
                most = max(most, memory(sidecar.pid))
            async with asyncio.timeout(DEADLINE):
                await told
            most = max(most, memory(sidecar.pid))
    assert most - before < 10 << 20


async def _until_number(reader: asyncio.StreamReader, number: int) -> None:
    """Read until that event has come."""
    rest = b""
    wanted = f'"number":{number},'.encode()
    while wanted not in rest:
        part = await reader.read(1 << 16)
        assert part, "the stream ended"
        rest = rest[-len(wanted) :] + part


@tied.linux("calls the system's curl")
def test_curl_reads_it(tmp_path: Path) -> None:
    with Place(tmp_path).sidecar() as sidecar:
        told = curled(f"{sidecar.url}{EVENTS}")
    assert "event: hello\ndata: {" in told
    assert '"state":"stopped"' in told
