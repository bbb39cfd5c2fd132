"""A made-up outside for the supervisor's model: what is true there, and the questions that `Machine` has open about it.

The decisions are the real ones: `Attempt`, `Tasks.look` and what they call. What would reach outside (a look,
a process, a delay) is a `Question` here, answered when the test likes, by what is true then or was true when asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from core.endpoint import Endpoint
from core.errors import PathInvalid, SpawnFailed, StartTimedOut, StopFailed
from core.ollama.error_texts import NOT_REACHABLE, TIMED_OUT
from core.ollama.listener import Listener
from core.ollama.models import Model
from core.ollama.probe import Answer, Probe
from core.owners.exit import Exit
from core.owners.process import Managed
from core.owners.protocol import Running
from core.owners.run_record import RunRecord
from core.owners.shim_start import Plan
from core.settings.paths import Paths
from core.settings.reader import Settings, SettingsReader
from core.settings.schema import SidecarSettings
from core.shim.record import EXITED
from core.supervision import messages
from core.supervision.observer import Observation, Observer, Setup
from core.supervision.tasks import Tasks

ENDPOINT = Endpoint.parse("http://127.0.0.1:11434")
THEIR_PID = 1
MODEL = Model("tiny")
ANSWERS = {
    Answer.OLLAMA: Probe(Answer.OLLAMA, None, "0.9.3"),
    Answer.SILENCE: Probe(Answer.SILENCE, TIMED_OUT),
    Answer.SOMETHING_ELSE: Probe(Answer.SOMETHING_ELSE, "HTTP 501"),
    Answer.NOBODY: Probe(Answer.NOBODY, NOT_REACHABLE),
    Answer.NOT_ASKED: Probe(Answer.NOT_ASKED, NOT_REACHABLE),
}


class Ours(Managed):
    """One that we spawned: it lives until the test ends it, and has the port once it is ready."""

    def __init__(self, pid: int, outside: Outside) -> None:
        record = RunRecord(pid, f"s{pid}", pid, f"b{pid}", "ollama", 11434, ENDPOINT.base_url, "log", "now", "event")
        super().__init__(Path("record"), record, grace=5.0)
        self._outside = outside
        self.is_alive = True
        self.has_port = False
        self.is_told = False

    async def gone_within(self, timeout: float) -> bool:
        """Waits for as long as the test likes."""
        await self._outside.ask("gone", self)
        return self.is_told


@dataclass(eq=False)
class Question:
    """Something that takes its time. `look` is what was true when it came up."""

    what: str
    managed: Running | None
    observation: Observation
    answer: asyncio.Future[object]


@dataclass(eq=False)
class Outside:
    """What is true, whoever knows it."""

    theirs: bool = False
    stranger: bool = False
    hangs: bool = False
    starved: bool = False
    installed: bool = True
    restart_on_crash: bool = False
    ours: list[Ours] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)

    @property
    def living(self) -> list[Ours]:
        """Ours that live."""
        return [one for one in self.ours if one.is_alive]

    @property
    def is_port_free(self) -> bool:
        """Nobody listens."""
        return not (self.theirs or self.stranger or any(one.has_port for one in self.living))

    async def ask(self, what: str, managed: Running | None = None) -> object:
        """The test's answer, when it gives one."""
        question = Question(what, managed, self.observe(None), asyncio.get_running_loop().create_future())
        self.questions.append(question)
        try:
            return await question.answer
        finally:
            self.questions.remove(question)

    def observe(self, managed_url: str | None) -> Observation:
        """What a look finds now."""
        executable = Path("/ollama") if self.installed else PathInvalid("It is gone.")
        settings = Settings(sidecar=SidecarSettings(restart_on_crash=self.restart_on_crash))
        setup = Setup(settings, ENDPOINT, executable, None, (self.installed, self.restart_on_crash))
        return Observation(setup, ENDPOINT.base_url, ANSWERS[self.answer], None if managed_url else self._listener())

    @property
    def answer(self) -> Answer:
        """What a probe meets now."""
        if self.starved:
            return Answer.NOT_ASKED
        if self.is_port_free:
            return Answer.NOBODY
        if self.stranger:
            return Answer.SOMETHING_ELSE
        return Answer.SILENCE if self.hangs else Answer.OLLAMA

    def _listener(self) -> Listener | None:
        if self.theirs or self.stranger:
            return Listener(THEIR_PID, "somebody", "Ask them.")
        pids = [one.record.pid for one in self.living if one.has_port]
        return Listener(pids[0], "us", "") if pids else None


class OutsideObserver(Observer):
    """Looks at a made-up outside."""

    def __init__(self, outside: Outside) -> None:
        super().__init__(SettingsReader(Paths(Path("/nowhere"))))
        self._outside = outside

    async def observe(self, managed_url: str | None, *, allow_cached: bool = False) -> Observation:
        """What is true when the question is answered, or was when it came up, or an error that nobody has foreseen."""
        answer = await self._outside.ask("look")
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Observation) else self._outside.observe(managed_url)


class OutsideTasks(Tasks):
    """The real tasks, but for what reaches outside."""

    def __init__(self, outside: Outside, post: Callable[[messages.Message], None]) -> None:
        super().__init__(Paths(Path("/nowhere")), post)
        self.observer = OutsideObserver(outside)
        self._outside = outside

    async def is_alive(self, managed: Running) -> bool:
        """What is true now."""
        assert isinstance(managed, Ours)
        return managed.is_alive

    async def list_models(self, url: str, epoch: int) -> None:
        """Found, as long as somebody answers."""
        answers = await self._outside.ask("list") and self._outside.answer is Answer.OLLAMA
        await self._post_found(messages.InstalledModels((MODEL,) if answers else None, None), epoch)

    async def list_loaded(self, url: str, epoch: int) -> None:
        """Found, as long as somebody answers."""
        answers = await self._outside.ask("list") and self._outside.answer is Answer.OLLAMA
        await self._post_found(messages.LoadedModels((MODEL.name,) if answers else None), epoch)

    async def start_process(self, plan: Plan) -> Running:
        """A process if the answer is true."""
        if not await self._outside.ask("spawn"):
            raise SpawnFailed("It could not be executed.")
        ours = Ours(100 + len(self._outside.ours), self._outside)
        self._outside.ours.append(ours)
        return ours

    async def ready(self, managed: Running, timeout: float, on_overtime: Callable[[str], None]) -> Probe:
        """It answers if the test's answer is true, and not in time if that is false; waits on if it is None."""
        while (is_ready := await self._outside.ask("ready", managed)) is None:
            on_overtime("It prints.")
        if not is_ready:
            raise StartTimedOut("It did not answer.")
        return ANSWERS[Answer.OLLAMA]

    async def watch(self, managed: Running) -> None:
        """Ended, once the test says so."""
        await self._outside.ask("end", managed)
        assert isinstance(managed, Ours)
        managed.is_told = True
        self.post(messages.Ended(managed, Exit(-9, EXITED, None), SpawnFailed("It ended.")))

    async def stop(self, managed: Running) -> None:
        """Unstoppable if the answer is false."""
        if not await self._outside.ask("stop", managed):
            self.post(messages.Unstoppable(managed, StopFailed("It does not end.")))

    async def retry_after(self, delay: float, epoch: int) -> None:
        """Retry, whenever the test likes."""
        await self._outside.ask("retry")
        self.post(messages.Retry(epoch))

    async def wait_end(self, pid: int) -> None:
        """Wait for their end."""
        await self._outside.ask("their end")
