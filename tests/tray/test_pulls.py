"""Pulls by the menu's commands: a real core, a real Ollama, and a registry on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.sidecar import Sidecar
from tests import tied
from tests.beds.registry import Registry, registry
from tests.core.jobs.bed import MB, rig_for, weights
from tray.app import App, Surface
from tray.menu import Act, Command, View
from tray.toasts import Toast

WAIT = tied.seconds(15.0)
pytestmark = pytest.mark.timeout(40)  # Ollama looks once a second whether a layer has ended


class Shown:
    """What the tray has shown and told."""

    def __init__(self, app: App, views: asyncio.Queue[View], toasts: asyncio.Queue[Toast]) -> None:
        self.app = app
        self.views = views
        self.toasts = toasts

    async def view(self, holds: Callable[[View], bool]) -> View:
        """The first view that fits."""
        async with asyncio.timeout(WAIT):
            while not holds(found := await self.views.get()):
                pass
            return found

    async def toast(self, title: str) -> Toast:
        """The first toast with that title."""
        async with asyncio.timeout(WAIT):
            while (found := await self.toasts.get()).title != title:
                pass
            return found


@pytest.fixture
async def shop() -> AsyncIterator[Registry]:
    async with registry() as found:
        yield found


@asynccontextmanager
async def tray(core: Sidecar) -> AsyncIterator[Shown]:
    """A tray over that core, with an Ollama that runs."""
    views: asyncio.Queue[View] = asyncio.Queue()
    toasts: asyncio.Queue[Toast] = asyncio.Queue()
    surface = Surface(views.put_nowait, toasts.put_nowait, lambda: None)
    app = App(core, "http://127.0.0.1:5006", surface, lambda: None)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(app.run())
        await core.ollama.start()
        yield Shown(app, views, toasts)
        app.end()


def line(view: View) -> str:
    """The label of the pull, empty if there is none."""
    return next((item.label for item in view.items if item.name.startswith("pulling ")), "")


async def test_a_pull_is_a_line_with_its_percentage_until_it_is_done_and_then_a_toast(
    shop: Registry, tmp_path: Path
) -> None:
    blob = shop.add("big:latest", [weights(1, 8 * MB)])[0]
    blob.hold_at = 4 * MB
    async with rig_for(shop, tmp_path).running() as core, tray(core) as shown:
        shown.app.post(Command(Act.PULL, shop.name("big")))
        assert "on its way" in (await shown.toast("Pulling a Model")).text
        view = await shown.view(lambda view: " % of 7.63 MB" in line(view) and ": 0 %" not in line(view))
        assert "pulling " in view.tooltip
        assert " % of 7.63 MB" in view.tooltip
        await shop.release(blob)
        assert (await shown.toast("Model Pulled")).text.endswith("big:latest is ready.")
        await shown.view(lambda view: not line(view) and view.find("models").label == "Models (1)")


async def test_a_pull_can_be_cancelled_and_then_nothing_is_told(shop: Registry, tmp_path: Path) -> None:
    shop.add("big:latest", [weights(2, 8 * MB)])[0].hold_at = MB
    async with rig_for(shop, tmp_path).running() as core, tray(core) as shown:
        shown.app.post(Command(Act.PULL, shop.name("big")))
        view = await shown.view(lambda view: " % of " in line(view))
        (item,) = (item for item in view.items if item.name.startswith("pulling "))
        cancel = item.children[-1].command
        assert cancel is not None
        shown.app.post(cancel)
        await shown.view(lambda view: not line(view))
        assert [toast.title for toast in drained(shown.toasts)] == ["Ollama Started", "Pulling a Model"]


def drained(toasts: asyncio.Queue[Toast]) -> list[Toast]:
    """All that were told so far."""
    return [toasts.get_nowait() for _ in range(toasts.qsize())]


async def test_a_pull_that_fails_is_told_with_the_reason(shop: Registry, tmp_path: Path) -> None:
    async with rig_for(shop, tmp_path).running() as core, tray(core) as shown:
        shown.app.post(Command(Act.PULL, shop.name("gone")))
        text = (await shown.toast("Failed to Pull a Model")).text
        assert "gone:latest: " in text
        assert "The registry has no such model." in text


async def test_a_name_that_is_none_is_refused_in_words(shop: Registry, tmp_path: Path) -> None:
    async with rig_for(shop, tmp_path).running() as core, tray(core) as shown:
        assert core.ollama is not None
        await shown.view(lambda view: view.find("status").label.endswith("is running"))
        shown.app.post(Command(Act.PULL, "no name"))
        async with asyncio.timeout(WAIT):
            while "name" not in (await shown.toasts.get()).text:
                pass
