"""What ten times the connections, models, readers or instances cost the sidecar in processor time.

The time of the processor, since other programs disturb that less than the time that passes. The growth with the size of
the log is in `log_tail`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import profiles, tray
from bench.held import Held, held
from bench.measures.loop import sidecar_of
from bench.measures.status import PATH, load, running
from bench.readers import readers
from bench.rows import Measure, Options, Pair, Round, Row, Take, grows_by
from tests.beds import BedMissing
from tests.beds.cost import busy_seconds
from tests.beds.wire import call, free_port

CALLS = 20
FEW_CONNECTIONS, SECONDS = 16, 2.0
FEW_MODELS = 100
FEW_READERS, EVENTS, RATE = 3, 1_000, 1_000.0


def microseconds(pid: int, work: Callable[[], object], times: float) -> float:
    """Of the processor, that a process takes for one of so many, while `work` has it do them."""
    before = busy_seconds(pid)
    work()
    return (busy_seconds(pid) - before) / times * 1e6


@contextlib.contextmanager
def connections(options: Options) -> Iterator[Take]:
    """A call of `status` among 160 connections, and among 16."""
    with running() as sidecar:
        pid = sidecar.process.pid

        def a_call(count: int) -> float:
            before = busy_seconds(pid)
            rate, _ = load(sidecar.url, SECONDS, count)
            return (busy_seconds(pid) - before) / (rate * SECONDS) * 1e6

        def take() -> Round:
            return {"growth-connections": Pair(a_call(10 * FEW_CONNECTIONS), a_call(FEW_CONNECTIONS))}

        yield take


@contextlib.contextmanager
def models(options: Options) -> Iterator[Take]:
    """A call of `models` with 1,000 of them, and with 100."""
    with sidecar_of(models=10 * FEW_MODELS) as many, sidecar_of(models=FEW_MODELS) as few:

        def a_call(sidecar: Held) -> float:
            def ask() -> None:
                for _ in range(CALLS):
                    call("GET", f"{sidecar.url}/api/ollama/models")

            return microseconds(sidecar.pid, ask, CALLS)

        def take() -> Round:
            return {"growth-models": Pair(a_call(many), a_call(few))}

        take()
        yield take


@contextlib.contextmanager
def streams(options: Options) -> Iterator[Take]:
    """An event that 30 readers are told of, and 3."""
    with sidecar_of() as sidecar:

        def an_event(count: int) -> float:
            with readers(sidecar.url, "/api/ollama/events?types=job", count):
                return microseconds(sidecar.pid, lambda: sidecar.longest(EVENTS, RATE), EVENTS)

        def take() -> Round:
            return {"growth-readers": Pair(an_event(10 * FEW_READERS), an_event(FEW_READERS))}

        yield take


@contextlib.contextmanager
def instances(options: Options) -> Iterator[Take]:
    """A call of `instances` with ten of them, and with one."""
    with _with_instances(10) as many, _with_instances(1) as few:

        def a_call(sidecar: Held) -> float:
            def ask() -> None:
                for _ in range(CALLS):
                    call("GET", f"{sidecar.url}/api/ollama/instances")

            return microseconds(sidecar.pid, ask, CALLS)

        def take() -> Round:
            return {"growth-instances": Pair(a_call(many), a_call(few))}

        take()
        yield take


@contextlib.contextmanager
def _with_instances(count: int) -> Iterator[Held]:
    with TemporaryDirectory() as top:
        root = Path(top)
        tray.configure(root, free_port())
        settings = root / "AuraData" / "ollama-sidecar.json"
        named = {f"instance-{number}": {"url": f"http://127.0.0.1:{free_port()}"} for number in range(count)}
        settings.write_text(json.dumps(json.loads(settings.read_text()) | {"instances": named}))
        with held(root) as sidecar:
            found = call("GET", f"{sidecar.url}/api/ollama/instances").json["instances"]
            if not isinstance(found, list) or len(found) != count:
                raise BedMissing("the settings of this version name no instances")
            yield sidecar


def connections_profile() -> Sequence[str]:
    """Of the sidecar while 160 connections ask."""
    with running() as sidecar, profiles.again_and_again(lambda: load(sidecar.url, 1.0, 10 * FEW_CONNECTIONS)):
        return profiles.by_function(sidecar.process.pid, 4)


def models_profile() -> Sequence[str]:
    """Of the sidecar while it is asked for 1,000 models."""
    with sidecar_of(models=10 * FEW_MODELS) as sidecar:
        url = f"{sidecar.url}/api/ollama/models"
        with profiles.again_and_again(lambda: call("GET", url)):
            return profiles.by_function(sidecar.pid, 4)


def streams_profile() -> Sequence[str]:
    """Of the sidecar while 30 readers are told of events."""
    with (
        sidecar_of() as sidecar,
        readers(sidecar.url, "/api/ollama/events?types=job", 10 * FEW_READERS),
        profiles.again_and_again(lambda: sidecar.longest(EVENTS, RATE)),
    ):
        return profiles.by_function(sidecar.pid, 4)


def instances_profile() -> Sequence[str]:
    """Of the sidecar while it is asked for ten instances."""
    with _with_instances(10) as sidecar:
        url = f"{sidecar.url}{PATH.replace('status', 'instances')}"
        with profiles.again_and_again(lambda: call("GET", url)):
            return profiles.by_function(sidecar.pid, 4)


def _row(name: str, what: str, peer: str, exponent: float) -> tuple[Row]:
    return (Row(name, what, "µs", peer, grows_by(exponent), is_growth=True),)


MEASURES = (
    Measure(
        _row("growth-connections", "a `status`, 160 connections, processor", "16 connections", 0.1),
        rounds=3,
        bed=connections,
        profile=connections_profile,
    ),
    Measure(
        _row("growth-models", "`models`, 1,000 of them, processor", "100 models", 1.0),
        rounds=5,
        bed=models,
        profile=models_profile,
    ),
    Measure(
        _row("growth-readers", "an event, 30 readers, processor", "3 readers", 1.0),
        rounds=3,
        bed=streams,
        profile=streams_profile,
    ),
    Measure(
        _row("growth-instances", "`instances`, ten of them, processor", "one instance", 1.0),
        rounds=5,
        bed=instances,
        profile=instances_profile,
    ),
)
