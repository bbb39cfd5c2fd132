"""Busy or stuck? Asks a model for one token now and then, only where the settings name one (`canary`).

An Ollama can answer `/api/version` while all its generations stand still. Its runner does not work then, and the
question gets no answer. How it is told from one that is busy: nothing is asked while the runners use a tenth of a core
or more, and if they do when the answer is overdue, something else came before it. A runner at work is never stuck; so
one that works without end is not noticed.

The question disturbs as little as it can: only a model that is in memory is asked, with the context that it has, and it
stays in memory for as long as it would have. Our mark in its query keeps it out of the counts of requests.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from core.errors import BadModelName, CoreError
from core.metrics.requests import Latencies
from core.ollama.activity import is_busy
from core.ollama.call import CallFailed, TimedOut
from core.ollama.model_name import ModelName
from core.ollama.models import LoadedModel
from core.settings.reader import Settings, SettingsReader
from core.settings.schema import CanarySettings
from core.supervision.state import UP, State
from core.supervision.supervisor import Supervisor

log = logging.getLogger(__name__)

_LOADED_SECONDS = 2.0
# Beyond this a model is kept for ever, as far as anybody can tell.
_FOR_EVER_SECONDS = 10 * 365 * 86_400.0
_KEPT_SECONDS = 300.0


class Verdict(StrEnum):
    """What one check of the canary showed."""

    ANSWERED = "answered"
    BUSY = "busy"
    """The runners work: nothing was asked, or something else came before it."""
    NOT_LOADED = "not_loaded"
    """No Ollama answers, or it does not have the model in memory: nothing was asked."""
    FAILED = "failed"
    """It refused, or the connection broke."""
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class CanaryReport:
    """What is known by the canary: its model, its verdicts by number, and how long answers took.

    `first_token` is the seconds to the first token of the last answer, as Ollama told them, None before the first.
    """

    model: str
    verdicts: dict[str, int]
    stuck: str | None
    answers: Latencies
    first_token: float | None


class Canary:
    """Watches over one instance. Belongs to the loop; `run` it once, as a task."""

    def __init__(self, supervisor: Supervisor, settings: SettingsReader) -> None:
        self._supervisor = supervisor
        self._wanted: CanarySettings | None = None
        self._changed = asyncio.Event()
        self._verdicts: Counter[str] = Counter({verdict.value: 0 for verdict in Verdict})
        self._answers = Latencies()
        self._first_token: float | None = None
        settings.hub.tell(self._on_settings)

    @property
    def report(self) -> CanaryReport | None:
        """What is known, None without a canary."""
        if self._wanted is None:
            return None
        stuck = self._supervisor.current.stuck
        return CanaryReport(self._wanted.model, dict(self._verdicts), stuck, self._answers.copy(), self._first_token)

    def _on_settings(self, reading: tuple[Settings, str | None] | None) -> None:
        wanted = reading[0].sidecar.canary if reading else None
        if wanted != self._wanted:
            self._wanted = wanted
            self._changed.set()

    async def run(self) -> None:
        """Check for ever, as often as the settings say; without a canary there, wait until there is one."""
        while True:
            self._changed.clear()
            if self._wanted is not None:
                await self._check_once(self._wanted)
            else:
                self._judge(None)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._wanted.every_seconds if self._wanted else None):
                    await self._changed.wait()

    async def _check_once(self, wanted: CanarySettings) -> None:
        status = self._supervisor.current
        try:
            verdict = await self.check(wanted)
        except Exception:
            log.exception("the canary failed")
            verdict = Verdict.FAILED
        self._verdicts[verdict] += 1
        if self._supervisor.current.pid != status.pid:
            return
        if verdict is not Verdict.STUCK:
            # A refusal says that it does not stand still.
            self._judge(None)
            return
        reason = (
            f"Ollama answers, but {wanted.model} has made no token within {wanted.timeout_seconds:g} s "
            "and its runner does nothing. Restart it."
        )
        if not status.stuck:
            log.warning("Ollama (pid %s) is stuck: %s", status.pid, reason)
        self._judge(reason)
        if wanted.restart_on_stuck and status.state is State.RUNNING:
            with suppress(CoreError):
                await self._supervisor.restart()

    def _judge(self, stuck: str | None) -> None:
        status = self._supervisor.current
        if status.pid is not None and status.stuck != stuck:
            self._supervisor.judge(status.pid, stuck)

    async def check(self, wanted: CanarySettings) -> Verdict:
        """Ask once, if that disturbs nobody. Takes `timeout_seconds` and some 3 s more."""
        status = self._supervisor.current
        if status.state not in UP or status.error is not None or status.pid is None:
            return Verdict.NOT_LOADED
        client = await self._supervisor.client()
        try:
            model = _the_one(wanted.model, (await client.loaded(_LOADED_SECONDS)).models)
        except CallFailed:
            return Verdict.FAILED
        if model is None:
            return Verdict.NOT_LOADED
        if await asyncio.to_thread(is_busy, status.pid):
            return Verdict.BUSY
        began = time.monotonic()
        try:
            self._first_token = await client.first_token(
                model.name, wanted.timeout_seconds, keep_alive=_seconds_left(model.expires_at), context=model.context
            )
        except TimedOut:
            return Verdict.BUSY if await asyncio.to_thread(is_busy, status.pid) else Verdict.STUCK
        except CallFailed as error:
            log.debug("the canary was refused: %s", error)
            return Verdict.FAILED
        self._answers.add(time.monotonic() - began)
        return Verdict.ANSWERED


def _the_one(wanted: str, loaded: tuple[LoadedModel, ...]) -> LoadedModel | None:
    """The model of that name in memory."""
    try:
        name = ModelName.parse(wanted)
    except BadModelName:
        return None
    return next((model for model in loaded if name.is_same(model.name)), None)


def _seconds_left(expires_at: str) -> float:
    """For how long a model would stay in memory without us: below 0 for ever, 5 min if Ollama does not tell."""
    try:
        left = (datetime.fromisoformat(expires_at) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return _KEPT_SECONDS
    return -1.0 if left > _FOR_EVER_SECONDS else max(1.0, left)
