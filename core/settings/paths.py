"""The paths of everything in one data folder, and which names an instance may have there."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from core.errors import ConfigError

DEFAULT_INSTANCE = "default"
"""The id of the one instance that there is as long as the settings name none."""

_ID = re.compile(r"[a-z0-9-]{1,32}")
# Names that `run` has for other files, or is going to have.
_OURS = frozenset({"sidecar", "token", "jobs", "balancer"})
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file: with any ending these are devices, in every folder.
_DEVICE = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]")
# What 0.1 called the files of the Ollama on a port.
_BY_PORT = re.compile(r"ollama-[0-9]{1,5}")


def is_instance_id(text: str) -> bool:
    """Whether an instance may be called that: `[a-z0-9-]{1,32}`, and no name that is taken.

    The files of an instance lie beside others in `run` (`run/<id>.json` beside `run/sidecar.json`), which is also where
    every version looks for them. So the names of the others are taken, as are those of Windows' devices, on every
    system, since settings travel, and `ollama-<port>`, by which the release before this calls its records.
    """
    return bool(_ID.fullmatch(text)) and not (text in _OURS or _DEVICE.fullmatch(text) or _BY_PORT.fullmatch(text))


def instance_id(text: str) -> str:
    """`text`, if an instance may be called that. Raises ConfigError otherwise."""
    if is_instance_id(text):
        return text
    raise ConfigError(
        f"An instance cannot have the id {text!r}.",
        action="Use 1 to 32 of a-z, 0-9 and -, and none of the names that are taken: "
        f"{', '.join(sorted(_OURS))}, ollama-<port>, and Windows' devices such as con or nul.",
    )


def is_run_file_stem(text: str) -> bool:
    """Whether `run/<text>.json` is a run record: of an instance, or of the release before this, by its port."""
    return is_instance_id(text) or bool(_BY_PORT.fullmatch(text))


def default_root() -> Path:
    """The user's data folder for Aura."""
    return platformdirs.user_data_path("Aura", appauthor=False)


@dataclass(frozen=True, slots=True)
class Paths:
    """All paths below `root`, which is absolute. Creates nothing."""

    root: Path

    @classmethod
    def find(cls, override: Path | None = None) -> Paths:
        """The paths below `override`, else below $AURA_DATA_PATH, else below the user's data folder of Aura."""
        root = override or os.environ.get("AURA_DATA_PATH") or default_root()
        return cls(Path(root).absolute())

    @property
    def option(self) -> str:
        """What a command to be typed has to name this folder by: ` --data-dir "…"`; empty for the usual folder."""
        return "" if self == Paths.find() else f' --data-dir "{self.root}"'

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
        """The logs of the instance `default`; folders of others lie in it."""
        return self.data / "logs" / "ollama"

    def logs_of(self, instance: str) -> Path:
        """The folder with the logs of that instance alone. Raises ConfigError if none can have that id."""
        return self.logs if instance == DEFAULT_INSTANCE else self.logs / instance_id(instance)

    @property
    def run(self) -> Path:
        return self.data / "run"
