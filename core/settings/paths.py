"""Where everything of one data folder lies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs


def default_root() -> Path:
    """The user's data folder for Aura."""
    return platformdirs.user_data_path("Aura", appauthor=False)


@dataclass(frozen=True, slots=True)
class Paths:
    """Where everything lies. `root` is absolute; nothing is created by asking."""

    root: Path

    @classmethod
    def find(cls, override: Path | None = None) -> Paths:
        """Below `override`, else $AURA_DATA_PATH, else the user's data folder for Aura."""
        root = override or os.environ.get("AURA_DATA_PATH") or default_root()
        return cls(Path(root).absolute())

    @property
    def data(self) -> Path:
        return self.root / "AuraData"

    @property
    def settings(self) -> Path:
        return self.data / "settings.json"

    @property
    def sidecar(self) -> Path:
        return self.data / "ollama-sidecar.json"

    @property
    def logs(self) -> Path:
        return self.data / "logs" / "ollama"

    @property
    def run(self) -> Path:
        return self.data / "run"
