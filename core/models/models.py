"""The models of each instance: what there is, and what is done with it beside pulling.

Nothing is asked of Ollama unless somebody asks here. Each call goes to the Ollama that the supervisor saw last.
Belongs to the loop of the fleet.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self, TypeVar

from core.errors import CoreError, DeleteFailed, ModelError, ModelInUse, ModelNotFound, NotRunning, TooManyLoads
from core.ollama.call import CallFailed, HttpStatus, TimedOut
from core.ollama.client import Client
from core.ollama.model_name import ModelName
from core.ollama.models import LoadedModel, ShownModel
from core.ollama.probe import list_error_text
from core.supervision.fleet import Fleet
from core.supervision.published import shutting_down
from core.supervision.state import State
from core.supervision.supervisor import Supervisor

LOAD_SECONDS = 600.0
"""What a load may take: a model of 40 GB from a hard disk."""
MOST_LOADS = 20
"""How many loads one Ollama is asked for at once. Each holds one of the 100 connections that there are to it."""
MOST_ASKED = 4
"""How many questions may wait for their answers at once, of all instances."""
ANSWER_SECONDS = 120.0
_MOST_TOKENS = 100
_ASK_SECONDS = 10.0
_LOADED_SECONDS = 2.0
_DELETE_SECONDS = 60.0
_UNLOAD_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 0.05
_NOT_FOUND = 404
_SEE_LIST = "See in the list of models what it is called."

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Changed:
    """What a wish about a model came to, in words for a person. Without `is_done` it goes on."""

    model: str
    message: str
    is_done: bool = True


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """The models that an instance has in memory; `error` says why they cannot be told, if they cannot."""

    instance: str
    models: tuple[LoadedModel, ...]
    error: str | None = None


class _Load:
    """A load under way, which goes on also if nobody waits any more."""

    def __init__(self, supervisor: Supervisor, client: Client, name: ModelName) -> None:
        self._supervisor = supervisor
        self._client = client
        self._name = name
        self.error: CoreError | None = shutting_down()
        """Why there was no load, once the task is done. At the end of the fleet there is none."""

    def begin(self, on_end: Callable[[], object]) -> Self:
        """Load, in `task`."""
        self.task = self._supervisor.in_background(self._run())
        self.task.add_done_callback(lambda _: on_end())
        return self

    async def _run(self) -> None:
        try:
            await _asked(self._name, lambda: self._client.load(str(self._name), LOAD_SECONDS))
        except ModelError as error:
            self.error = error
            return
        self.error = None
        await self._supervisor.list_models_again()


class Models:
    """The models of a fleet. A method raises KeyError for an instance that there is not, and `CoreError` as it says."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._loads: dict[tuple[str, str], _Load] = {}
        self._asking = 0

    async def info(self, instance: str, name: ModelName) -> ShownModel:
        """What Ollama knows of a model. Raises NotRunning, ModelNotFound, or ModelError with what Ollama said."""
        client = await self._client(self._fleet[instance])
        return await _asked(name, lambda: client.show(str(name), _ASK_SECONDS))

    async def is_available(self, instance: str, name: ModelName) -> tuple[bool, str | None]:
        """Whether it is installed, under any tag if the name gives none; and why that may be out of date, if it may."""
        news = await self._fleet[instance].models()
        return any(name.covers(model.name) for model in news.models), news.error

    async def loaded(self, instance: str) -> LoadedModels:
        """What is in memory, asked for anew within 2 s. Does not raise for what Ollama does."""
        supervisor = self._fleet[instance]
        try:
            client = await self._client(supervisor)
            return LoadedModels(instance, (await client.loaded(_LOADED_SECONDS)).models)
        except NotRunning as error:
            return LoadedModels(instance, (), error.message)
        except CallFailed as error:
            return LoadedModels(instance, (), list_error_text(error))

    async def load(self, instance: str, name: ModelName, *, wait: float = LOAD_SECONDS) -> Changed:
        """Have a model in memory. After `wait` seconds the answer is that it goes on; repeats join the same load.

        Raises NotRunning, ModelNotFound, TooManyLoads if 20 others are under way, or ModelError with what Ollama said.
        """
        supervisor = self._fleet[instance]
        key = instance, name.key
        if key not in self._loads:
            load = _Load(supervisor, await self._client(supervisor), name)
            # Whoever asked for the same meanwhile was first.
            if key not in self._loads:
                if sum(other == instance for other, _ in self._loads) >= MOST_LOADS:
                    raise TooManyLoads(
                        name.as_written,
                        f"Model '{name.as_written}' is not loaded: {MOST_LOADS} others are being loaded already.",
                        action="Try again once some of them are.",
                    )
                self._loads[key] = load.begin(lambda: self._loads.pop(key))
        load = self._loads[key]
        await asyncio.wait([load.task], timeout=wait)
        if not load.task.done():
            return Changed(
                name.as_written, f"Model '{name.as_written}' is still being loaded; it goes on.", is_done=False
            )
        if load.error:
            raise load.error.fresh()
        return Changed(name.as_written, f"Model '{name.as_written}' loaded successfully")

    async def ask(self, instance: str, name: ModelName, question: str) -> str:
        """What a model answers to a question: 100 tokens and 120 s at most, its load included.

        Raises NotRunning, ModelNotFound, TooManyLoads if 4 questions wait already, or ModelError with what Ollama said.
        """
        supervisor = self._fleet[instance]
        client = await self._client(supervisor)
        if self._asking >= MOST_ASKED:
            raise TooManyLoads(
                name.as_written,
                f"Model '{name.as_written}' is not asked: {MOST_ASKED} questions wait for their answers already.",
                action="Try again once one of them is answered.",
            )
        self._asking += 1
        try:
            return await _asked(name, lambda: client.ask(str(name), question, ANSWER_SECONDS, most_tokens=_MOST_TOKENS))
        finally:
            self._asking -= 1

    async def unload(self, instance: str, name: ModelName) -> Changed:
        """Take a model out of memory. One that is at work goes once that is done, which is not waited for.

        Raises NotRunning, ModelNotFound, or ModelError with what Ollama said.
        """
        supervisor = self._fleet[instance]
        client = await self._client(supervisor)
        if not await _asked(name, lambda: _is_loaded(client, name)):
            # Ollama would answer the same for a model that it does not have.
            await self._check_installed(supervisor, name)
            return Changed(name.as_written, f"Model '{name.as_written}' is not loaded")
        is_gone = await _asked(name, lambda: _unloaded(client, name))
        await supervisor.list_models_again()
        if is_gone:
            return Changed(name.as_written, f"Model '{name.as_written}' unloaded successfully")
        return Changed(
            name.as_written, f"Model '{name.as_written}' is at work; it is unloaded once that is done.", is_done=False
        )

    async def delete(self, instance: str, name: ModelName, *, is_forced: bool) -> Changed:
        """Delete an installed model; one that is in memory only if that is forced, and then it is unloaded first.

        Raises ModelInUse, or DeleteFailed with what Ollama said or why it cannot be asked.
        """
        supervisor = self._fleet[instance]
        try:
            client = await self._client(supervisor)
            if await _asked(name, lambda: _is_loaded(client, name)):
                if not is_forced:
                    raise ModelInUse(
                        name.as_written,
                        f"Model '{name.as_written}' is loaded, and so is not deleted.",
                        action="Unload it first, or delete it with ?force=true.",
                    )
                # Windows deletes no file that is open.
                await _asked(name, lambda: _unloaded(client, name))
            await _asked(name, lambda: client.delete(str(name), _DELETE_SECONDS))
        except ModelInUse:
            raise
        except ModelNotFound as error:
            why = f"Failed to delete model: {error.message}"
            raise DeleteFailed(name.as_written, why, action=_SEE_LIST) from None
        except (ModelError, NotRunning) as error:
            why = f"Failed to delete model: {error.message}"
            raise DeleteFailed(name.as_written, why, action=error.action) from None
        await supervisor.list_models_again()
        return Changed(name.as_written, f"Model '{name.as_written}' deleted successfully")

    async def _check_installed(self, supervisor: Supervisor, name: ModelName) -> None:
        news = await supervisor.models()
        if news.error is None and not any(name.is_same(model.name) for model in news.models):
            raise _not_found(name, _SEE_LIST)

    async def _client(self, supervisor: Supervisor) -> Client:
        """A client for an Ollama that is up. Raises NotRunning."""
        status = await supervisor.status()
        if status.is_running:
            return await supervisor.client()
        if status.state is State.STARTING:
            raise NotRunning("Ollama is still starting.", action="Try again once it is up.")
        raise NotRunning("Ollama is not running.", action="Start it, and try again.")


async def _asked(name: ModelName, ask: Callable[[], Awaitable[T]]) -> T:
    """The answer of a call about a model. Raises ModelNotFound or ModelError."""
    try:
        return await ask()
    except HttpStatus as error:
        if error.code == _NOT_FOUND:
            raise _not_found(name) from None
        raise ModelError(name.as_written, f"Ollama says: {error}") from None
    except TimedOut as error:
        raise ModelError(name.as_written, f"Ollama does not answer: {error}", action="Try again later.") from None
    except CallFailed as error:
        raise ModelError(name.as_written, str(error)) from None


def _not_found(name: ModelName, action: str = "Pull it first.") -> ModelNotFound:
    return ModelNotFound(name.as_written, f"Model '{name.as_written}' is not installed.", action=action)


async def _is_loaded(client: Client, name: ModelName) -> bool:
    return any(name.is_same(model.name) for model in (await client.loaded(_LOADED_SECONDS)).models)


async def _unloaded(client: Client, name: ModelName) -> bool:
    """Unload it, and see it gone within 5 s; False if it is still there then."""
    await client.unload(str(name), _ASK_SECONDS)
    deadline = time.monotonic() + _UNLOAD_SECONDS
    while await _is_loaded(client, name):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    return True
