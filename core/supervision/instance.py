"""One Ollama that the settings name: its id, where it listens, and by what it is run."""

from __future__ import annotations

from dataclasses import dataclass

from core.settings.paths import DEFAULT_INSTANCE, instance_id


@dataclass(frozen=True, slots=True)
class Instance:
    """Raises ConfigError if no instance may have that id.

    `url` is its own address. None: `ollamaUrl` of Aura's settings, read anew with each observation. `owner` is the text
    of its own owner. None: `owner` of our settings, read anew as well.
    """

    id: str = DEFAULT_INSTANCE
    url: str | None = None
    owner: str | None = None

    def __post_init__(self) -> None:
        instance_id(self.id)
