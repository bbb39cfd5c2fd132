"""The tray's logic beside a supervisor that says what the real one cannot be made to say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from core.events.snapshots import Broadcast, Subscription
from core.jobs.jobs import Jobs
from core.metrics.meters import Meters
from core.settings.paths import Paths
from core.settings.reader import SettingsReader
from core.sidecar import Sidecar
from core.supervision.state import State, Status
from tests import tied
from tray.app import App, Surface
from tray.menu import Act, Command, Look, View
from tray.toasts import Toast


class Unprintable(str):
    """A text that no sentence can be made of."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        raise ValueError("this has no text")

    def __getitem__(self, part: object) -> str:
        raise ValueError("this has no text")


class Said:
    """A supervisor that only tells."""

    def __init__(self) -> None:
        self.hub = Broadcast(Status())

    def subscribe(self) -> AbstractContextManager[Subscription[Status]]:
        """As the real one does."""
        return self.hub.subscribe()


@dataclass
class Core:
    """What the tray is given."""

    ollama: Said
    paths: Paths
    settings: SettingsReader
    jobs: Jobs
    metrics: Meters


class Screen:
    """What the app has shown, and how often it has closed."""

    def __init__(self) -> None:
        self.views: asyncio.Queue[View] = asyncio.Queue()
        self.toasts: asyncio.Queue[Toast] = asyncio.Queue()
        self.closed = 0

    def close(self) -> None:
        """Count it."""
        self.closed += 1

    async def until(self, look: Look) -> View:
        """The first view of that look, within 5 s."""
        async with asyncio.timeout(tied.seconds(5)):
            while (view := await self.views.get()).look is not look:
                pass
            return view


@asynccontextmanager
async def running(tmp_path: Path, said: Said) -> AsyncIterator[tuple[App, Screen]]:
    """The app, until the block ends."""
    screen = Screen()
    surface = Surface(screen.views.put_nowait, screen.toasts.put_nowait, screen.close)
    paths = Paths(tmp_path)
    idle = Sidecar(paths)
    app = App(
        cast(Sidecar, Core(said, paths, SettingsReader(paths), idle.jobs, idle.metrics)),
        "http://127.0.0.1:5006",
        surface,
        lambda: None,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(app.run())
        yield app, screen
        app.end()


async def test_a_status_that_cannot_be_shown_or_told_is_said_to_be_so_and_the_next_one_is_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = Said()
    async with running(tmp_path, said) as (app, screen):
        said.hub.publish(Status(State.STOPPED))
        await screen.until(Look.DOWN)
        said.hub.publish(Status(State.RUNNING, pid=1, version=Unprintable("0.9.3")))
        view = await screen.until(Look.TROUBLE)
        assert [item.label for item in view.items if item.command] == ["Quit"]
        app.post(Command(Act.SHOW_STATUS))
        assert "log" in (await screen.toasts.get()).text
        said.hub.publish(Status(State.EXTERNAL, version="0.9.4"))
        assert "0.9.4" in (await screen.until(Look.EXTERNAL)).tooltip
        app.post(Command(Act.QUIT))
        async with asyncio.timeout(tied.seconds(5)):
            while not screen.closed:
                await asyncio.sleep(0)
    told = {record.getMessage() for record in caplog.records}
    assert {"the status cannot be shown", "a change of the status cannot be told"} <= told
