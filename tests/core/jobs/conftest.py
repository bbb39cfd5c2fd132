"""A registry of a test's own, and an Ollama that may pull from it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.beds.registry import Registry, registry
from tests.core.jobs.bed import rig_for
from tests.rig import Rig


@pytest.fixture
async def shop() -> AsyncIterator[Registry]:
    """A registry without models."""
    async with registry() as found:
        yield found


@pytest.fixture
def rig(shop: Registry, tmp_path: Path) -> Rig:
    """The real Ollama, which may pull from `shop`. A test of a small disk has one of its own, made on that disk."""
    return rig_for(shop, tmp_path)
