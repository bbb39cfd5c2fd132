"""The canary on a real Ollama that is fine; what it makes of one that is not, `test_canary_linux` tells."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from core.metrics.canary import Canary, Verdict
from core.platform.usage import command_of
from core.settings.schema import CanarySettings
from core.sidecar import Sidecar
from tests import tied
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.rig import Rig

pytestmark = pytest.mark.timeout(60)  # an overdue answer is waited for

WANTED = CanarySettings(model="tiny", timeout_seconds=tied.seconds(2.0))


@pytest.fixture
def real(tmp_path: Path) -> Rig:
    """The real Ollama with the tiny model."""
    return Rig(tmp_path, require(ollama).executable).with_model()


def runners(rig: Rig) -> list[psutil.Process]:
    """Its model runners."""
    return [process for process in rig.ollamas()[1:] if command_of(process.pid)[1:2] == ("runner",)]


async def test_an_ollama_that_is_fine_answers_and_one_that_has_nothing_loaded_is_not_asked(real: Rig) -> None:
    """The question loads nothing, and leaves the model in memory for no longer than it would have stayed."""
    async with real.running() as core:
        canary = Canary(core.ollama, core.settings)
        assert await canary.check(WANTED) is Verdict.NOT_LOADED
        await core.ollama.start()
        assert await canary.check(WANTED) is Verdict.NOT_LOADED
        assert await asyncio.to_thread(runners, real) == []
        await real.generate()
        before = await _expiry(core)
        assert await canary.check(WANTED) is Verdict.ANSWERED
        assert abs(await _expiry(core) - before) < 5
        assert await canary.check(CanarySettings(model="another")) is Verdict.NOT_LOADED
        assert await canary.check(CanarySettings(model="no name:of:one")) is Verdict.NOT_LOADED


async def _expiry(core: Sidecar) -> float:
    """When the model leaves memory, in Unix time."""
    (model,) = (await (await core.ollama.client()).loaded(5.0)).models
    return datetime.fromisoformat(model.expires_at).timestamp()
