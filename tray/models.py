"""Has models loaded and unloaded, and tells what came of it. On the loop."""

from __future__ import annotations

from collections.abc import Callable

from core.errors import CoreError, ShuttingDown
from core.settings.paths import DEFAULT_INSTANCE
from core.sidecar import Sidecar
from core.text import in_sentences, isolated
from tray.toasts import Kind, Toast


class Models:
    """The models of the instance `default`. Each method returns the toast that tells how it went, if one does."""

    def __init__(self, core: Sidecar, on_loading: Callable[[frozenset[str]], None]) -> None:
        """`on_loading` is told of the models that are on their way into memory, whenever these change."""
        self._core = core
        self._on_loading = on_loading
        self._loading: frozenset[str] = frozenset()

    async def load(self, name: str) -> Toast | None:
        """Have a model in memory; returns once it is, or cannot be."""
        self._set_loading(self._loading | {name})
        try:
            await self._core.load_model(DEFAULT_INSTANCE, name)
        except CoreError as error:
            return _failure(f"{isolated(name)} Was Not Loaded", error)
        finally:
            self._set_loading(self._loading - {name})
        return Toast("Model Loaded", f"{isolated(name)} is in memory.", kind=Kind.NEWS)

    async def unload(self, *names: str) -> Toast | None:
        """Take these models out of memory; tells of the last one that stays there, and why."""
        told = None
        for name in names:
            try:
                changed = await self._core.unload_model(DEFAULT_INSTANCE, name)
            except CoreError as error:
                told = _failure(f"{isolated(name)} Was Not Unloaded", error)
            else:
                if not changed.is_done:
                    told = Toast("Model in Use", f"{isolated(name)} is at work, and is unloaded once that is done.")
        return told

    def _set_loading(self, names: frozenset[str]) -> None:
        self._loading = names
        self._on_loading(names)


def _failure(title: str, error: CoreError) -> Toast | None:
    return None if isinstance(error, ShuttingDown) else Toast(title, in_sentences(error.message, error.action))
