"""All that the tray's looks depend on."""

from __future__ import annotations

from dataclasses import dataclass

from core.jobs.job import Job
from core.supervision.state import Status


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at one moment. `api_url` is None until the sidecar serves.

    `aura_model` is the model that Aura's settings name. `loading` are models on their way into memory, and
    `recently_used` those that have been seen in memory, the last one first. `pulls` are those
    under way, the oldest first. `memory` is what Ollama and its runners take, in words; None if that is not known.
    """

    status: Status
    api_url: str | None = None
    starts_at_login: bool = False
    starts_on_launch: bool = False
    has_logs: bool = False
    is_desktop_refused: bool = False
    aura_model: str | None = None
    loading: frozenset[str] = frozenset()
    recently_used: tuple[str, ...] = ()
    pulls: tuple[Job, ...] = ()
    memory: str | None = None
