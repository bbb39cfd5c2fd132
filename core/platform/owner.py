"""Who runs a process: a container engine, a machine inside this one, or systemd. Linux only; elsewhere always None.

Not part of `core.platform` itself, which the shim imports and which therefore stays small.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import psutil

from core.platform import cgroup
from core.platform.cgroup import Container, Machine, Unit

_OLLAMA, _SERVE = "ollama", "serve"
_SHELLS = frozenset({"sh", "ash", "bash", "dash", "fish", "ksh", "mksh", "zsh"})
_WRAPPERS = frozenset(
    {
        "chpst",
        "chrt",
        "dumb-init",
        "env",
        "firejail",
        "gosu",
        "ionice",
        "nice",
        "nohup",
        "numactl",
        "prlimit",
        "runuser",
    }
    | {
        "setpriv",
        "setsid",
        "setuidgid",
        "stdbuf",
        "su-exec",
        "sudo",
        "systemd-cat",
        "systemd-inhibit",
        "taskset",
        "time",
    }
    | {"timeout", "tini"}
)
"""Programs that run the command that their arguments end with, and nothing else."""
# The commands of a shell's script, and the words of a command: neither quotes nor substitutions are understood, so a
# script that hides Ollama in them is not known for Ollama's own.
_BETWEEN_COMMANDS = re.compile(r"[;&|\n(){}]+")
_BEFORE_COMMANDS = frozenset({"command", "do", "else", "exec", "if", "then", "until", "while", "!"})
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_QUOTES = "'\""


def owner(pid: int) -> Container | Machine | Unit | None:
    """The container or machine of a process, or the systemd service that runs Ollama alone; None if it has none.

    A service counts only if all its processes are Ollama's: stopping `docker.service` or `ssh.service` would stop much
    more than an Ollama. Reads the process table: call it in a thread.
    """
    text, own = _cgroup(pid), _cgroup("self")
    machine = cgroup.machine(text)
    if machine and machine != cgroup.machine(own):
        return machine
    if container := cgroup.container(text):
        # If we are in the same container, the process is our neighbour there, and its engine is out of our reach.
        return None if container == cgroup.container(own) else container
    unit = cgroup.unit(text)
    return unit if unit and _is_for_ollama(unit, machine) else None


def container_of(pid: int) -> Container | None:
    """The container of a process on this machine, None if it is in none. Blocks for less than a millisecond."""
    return cgroup.container(_cgroup(pid))


def runs_ollama(command: Sequence[str]) -> bool:
    """Whether a command line is Ollama's, or that of a shell or another wrapper which runs `ollama serve` directly."""
    return bool(command) and (_name(command[0]) == _OLLAMA or _wraps_serve(command))


def _wraps_serve(command: Sequence[str]) -> bool:
    """Whether a wrapper's command line, or a shell's script, runs `ollama serve`."""
    if not command:
        return False
    program = _name(command[0])
    if program in _SHELLS:
        # Only the script itself counts: what follows it are its arguments.
        script = next((place for place, word in enumerate(command) if re.fullmatch("-[a-z]*c", word)), len(command))
        return any(
            _serves(words.split()) for words in _BETWEEN_COMMANDS.split(" ".join(command[script + 1 : script + 2]))
        )
    return program in _WRAPPERS and any(
        _is_serve(command[start:]) or _wraps_serve(command[start:]) for start in range(1, len(command))
    )


def _serves(words: Sequence[str]) -> bool:
    """Whether one command of a shell's script is `ollama serve`, with assignments or a wrapper before it."""
    words = [word.strip(_QUOTES) for word in words]
    while words and (_ASSIGNMENT.fullmatch(words[0]) or words[0] in _BEFORE_COMMANDS):
        del words[0]
    return _is_serve(words) or _wraps_serve(words)


def _is_serve(words: Sequence[str]) -> bool:
    return len(words) > 1 and _name(words[0]) == _OLLAMA and words[1] == _SERVE


def _name(path: str) -> str:
    return PurePosixPath(path.strip(_QUOTES)).name


def _is_for_ollama(unit: Unit, machine: Machine | None) -> bool:
    """Whether each process of a service is an Ollama, what runs one, or what one has started."""
    members: dict[int, tuple[int, list[str]]] = {}
    for pid in psutil.pids():
        text = _cgroup(pid)
        if cgroup.unit(text) != unit or cgroup.machine(text) != machine or cgroup.container(text):
            continue
        try:
            process = psutil.Process(pid)
            members[pid] = process.ppid(), process.cmdline()
        except (psutil.Error, OSError):
            continue
    # A zombie has no command line left.
    commands = {pid: command for pid, (_, command) in members.items() if command}
    return bool(commands) and all(
        runs_ollama(command) or _is_below_ollama(pid, members) for pid, command in commands.items()
    )


def _is_below_ollama(pid: int, members: dict[int, tuple[int, list[str]]]) -> bool:
    """Whether an Ollama, and not only what runs one, is among the parents of a process."""
    # As many steps as there are members: numbers that are used again meanwhile could lead round in a circle.
    for _ in members:
        pid, _ = members.get(pid, (0, []))
        _, command = members.get(pid, (0, []))
        if command and _name(command[0]) == _OLLAMA:
            return True
    return False


def _cgroup(pid: int | str) -> str:
    # Other systems than Linux have no such file.
    try:
        return Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="backslashreplace")
    except OSError:
        return ""
