"""Whether the disk that holds an Ollama's models has room for what is to come, as far as both are known.

Everything here blocks on a disk, or on the system's list of processes: call it in a thread, with a deadline.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Mapping
from pathlib import Path

import psutil

from core.platform import merged_environment

_MODELS = "OLLAMA_MODELS"


def models_folder(pid: int | None, added: Mapping[str, str] | None) -> Path | None:
    """Where the Ollama with that pid keeps its models, None if that cannot be found out.

    `added` is what our settings add to the environment of an Ollama that we start; None for one of somebody else's.
    Of that one nothing is assumed that it does not tell itself: a container's port, say, is held by another program.
    """
    environment = _environment(pid, is_ours=added is not None)
    if environment is None:
        if added is None:
            return None
        environment = merged_environment(dict(added))
    # As Ollama itself reads it: https://github.com/ollama/ollama/blob/main/envconfig/config.go
    if named := environment.get(_MODELS, "").strip().strip("\"'"):
        # Where a relative one leads depends on the folder that it was started in.
        return Path(named) if Path(named).is_absolute() else None
    # Go's os.UserHomeDir asks for the first on Windows, where the second may be set too, and for the second elsewhere.
    home = environment.get("USERPROFILE") or environment.get("HOME")
    return Path(home) / ".ollama" / "models" if home else None


def _environment(pid: int | None, *, is_ours: bool) -> Mapping[str, str] | None:
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        if is_ours or "ollama" in Path(process.exe()).name.lower():
            return process.environ()
    except (psutil.Error, OSError):
        pass
    return None


def free_bytes(folder: Path) -> int:
    """What is free on the disk that holds a folder, or would hold it once it is made. Raises OSError."""
    there = next((each for each in (folder, *folder.parents) if each.exists()), None)
    if there is None:
        raise FileNotFoundError(errno.ENOENT, "Its disk is not there", str(folder))
    return shutil.disk_usage(there).free
