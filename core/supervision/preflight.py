"""Whether and how an Ollama may be started, and why a start did not work out. Decides only; the supervisor acts."""

from __future__ import annotations

import os
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.endpoint import Endpoint, write_instead
from core.errors import (
    WAYS_OUT,
    AlreadyRunning,
    ConfigError,
    CoreError,
    DataFolderGone,
    NoOllamaAddress,
    NotAnswering,
    NothingManaged,
    NotOurs,
    PortInUse,
    RemoteOllama,
    RunsElsewhere,
    SpawnFailed,
    StopFailed,
)
from core.ollama.gpu_environment import gpu_environment
from core.ollama.listener import Listener
from core.ollama.probe import Answer
from core.owners.exit import Exit
from core.owners.protocol import Plan, Running
from core.settings.owner import PROCESS
from core.settings.paths import Paths
from core.supervision.interpret import is_hanging_external
from core.supervision.observer import Observation
from core.supervision.state import State, Status
from core.supervision.told import START_ELSEWHERE

SAME_FAILURE_SECONDS = 10.0
USE_EXISTING = "Ollama is already running externally. Use the existing instance."
# Go's texts: https://pkg.go.dev/os#UserHomeDir
_NO_HOME = ("$HOME is not defined", "%userprofile% is not defined")
_PORT_TAKEN = ("address already in use", "winapi error #10048", "only one usage of each socket address")


def plan(observation: Observation, status: Status, paths: Paths, instance: str, added: Mapping[str, str]) -> Plan:
    """The plan for an instance, from an observation and the status before it. Changes nothing.

    `added` are variables that Ollama gets unless the settings give them.
    Raises the CoreError that says why nothing may be started.
    """
    setup = observation.setup
    # What another owner controls has a program of its own.
    executable = setup.executable if setup.owner == PROCESS else Path("ollama")
    if isinstance(setup.endpoint, ConfigError):
        raise setup.endpoint.fresh()
    if observation.probe.answer is Answer.NOT_ASKED:
        raise not_asked(observation)
    if observation.probe.answer is Answer.OLLAMA:
        raise already_running(observation.listener)
    if is_hanging_external(status, observation):
        raise already_running(observation.listener, is_hanging=True)
    if isinstance(setup.problem, DataFolderGone):
        raise setup.problem.fresh()
    if setup.problem and (setup.is_unknown or isinstance(executable, CoreError)):
        # The file that cannot be read may name the executable that the user wants.
        raise setup.problem.fresh()
    if not setup.endpoint.is_manageable:
        raise remote(setup.endpoint)
    if observation.probe.answer is not Answer.NOBODY:
        raise port_in_use(setup.endpoint.port, observation.listener)
    if isinstance(executable, CoreError):
        raise executable.fresh()
    sidecar = setup.settings.sidecar
    return Plan(
        executable=executable,
        url=observation.url,
        port=setup.endpoint.port,
        env={**added, **gpu_environment(setup.settings), **sidecar.env, "OLLAMA_HOST": setup.endpoint.ollama_host},
        run_dir=paths.run,
        logs=paths.logs_of(instance),
        caps=sidecar.log_caps,
        grace=sidecar.stop_timeout,
        instance=instance,
        owner=setup.owner,
    )


def remote(endpoint: Endpoint) -> RemoteOllama:
    """The error for an address that this machine can start no Ollama for."""
    what = f"ollamaUrl is {endpoint.base_url}, which this machine cannot start an Ollama for."
    if meant := endpoint.suggestion:
        return NoOllamaAddress(what, action=write_instead(meant))
    return RemoteOllama(what, action=START_ELSEWHERE)


def why_not_managed(observation: Observation, managed: Running) -> CoreError | None:
    """Why a start fails although our Ollama runs; None if it succeeds."""
    if observation.probe.answer is Answer.NOT_ASKED:
        return not_asked(observation)
    if observation.probe.answer is not Answer.OLLAMA:
        return not_answering(managed.pid)
    if isinstance(observation.setup.endpoint, Endpoint) and observation.setup.url != managed.url:
        return RunsElsewhere(
            f"ollamaUrl is now {observation.setup.url}, but Ollama runs at {managed.url}.",
            action=managed.how_to_move(observation.setup.url),
        )
    return None


def not_answering(pid: int) -> NotAnswering:
    """The error for an Ollama of ours that lives and does not answer."""
    return NotAnswering(
        f"Ollama runs (pid {pid}) but does not answer.", action="Wait for it, or stop it and start it again."
    )


def still_ending(managed: Running, why: StopFailed | None) -> NotAnswering:
    """The error for a managed Ollama that has died, but whose tree does not end while a start waits for that.

    `why` names the processes that cannot be ended at present, if that is the reason. Of a service its manager tells
    the end, and has not done so.
    """
    if managed.is_lasting:
        return NotAnswering(f"Ollama (pid {managed.pid}) has ended, and {managed.owner} does not tell what comes next.")
    if why:
        return NotAnswering(f"Ollama (pid {managed.pid}) has ended. {why.message}", action=why.action)
    return NotAnswering(
        f"Ollama (pid {managed.pid}) has ended, but something that it started holds on to its output.",
        action="Try again in some seconds.",
    )


def not_asked(observation: Observation) -> SpawnFailed:
    """The error for a probe that could not be made: it says nothing about who is there."""
    reason = observation.probe.reason or "It could not be asked."
    way_out = next((way for number, way in WAYS_OUT.items() if os.strerror(number) in reason), None)
    return SpawnFailed(f"{observation.url}: {reason}", action=way_out)


def already_running(listener: Listener | None, *, is_hanging: bool = False) -> AlreadyRunning:
    """The error for an Ollama that is not ours."""
    ways_out = ["It does not answer at present."] if is_hanging else []
    ways_out += [f"It belongs to {listener.owner}. {listener.by_hand}"] if listener else []
    return AlreadyRunning(USE_EXISTING, action=" ".join(ways_out) or None)


def with_owner(error: CoreError, status: Status) -> CoreError:
    """The error of a start, with the reason why it is not known what its owner runs, if that is so."""
    if isinstance(error, NotAnswering) and error.action is None:
        return NotAnswering(error.message, action=status.owner_problem or "It may hang. Try again in some seconds.")
    if isinstance(error, AlreadyRunning) and status.may_be_owners and status.owner_problem:
        return AlreadyRunning(error.message, action=_unheard(status))
    return error


def _unheard(status: Status) -> str:
    return f"Whether it is that of {status.controlled_by} is not known: {status.owner_problem}"


def port_in_use(port: int, listener: Listener | None) -> PortInUse:
    """The error for a port that is held by something which does not answer as an Ollama."""
    holder = listener.owner if listener else "another program"
    return PortInUse(
        f"Port {port} is held by {holder}, which does not answer as an Ollama.",
        action=f"{listener.by_hand if listener else 'End that program'} Or set another port in ollamaUrl.",
    )


def nothing_to_stop(status: Status) -> NothingManaged:
    """The error for a stop while nothing of ours lives."""
    if status.may_be_owners and status.owner_problem:
        return NotOurs(NothingManaged.title, action=_unheard(status))
    if status.state is State.EXTERNAL:
        owner = status.owner or "somebody else"
        return NotOurs(NothingManaged.title, action=f"It belongs to {owner}. {status.by_hand or ''}".strip())
    return NothingManaged(NothingManaged.title)


def is_port_taken(exit: Exit) -> bool:
    """Whether the child's last lines say that its port was taken: Go's texts for bind(2) and WSAEADDRINUSE."""
    words = " ".join(exit.last_lines).lower()
    return any(text in words for text in _PORT_TAKEN)


@dataclass(slots=True)
class FailureMemory:
    """The last failed start, so that a client that repeats it at once gets the same answer without a new process."""

    _key: Hashable = None
    _error: CoreError | None = None
    _at: float = 0.0

    def recall(self, observation: Observation) -> CoreError | None:
        """The failure of a start with the same settings and executable at most 10 s ago, else None."""
        if time.monotonic() - self._at > SAME_FAILURE_SECONDS or self._key != observation.setup.fingerprint:
            return None
        return self._error.fresh() if self._error else None

    def keep(self, observation: Observation, error: CoreError) -> None:
        """Remember how a start for this observation failed."""
        self._key, self._error, self._at = observation.setup.fingerprint, error.fresh(), time.monotonic()

    def forget(self) -> None:
        """Forget the failure, so that the next start makes a process again."""
        self._error = None


def early_exit(exit: Exit) -> SpawnFailed:
    """The error for a child that ended before it was ready, with its last lines."""
    words = " ".join(exit.last_lines)
    if any(text in words for text in _NO_HOME):
        return SpawnFailed(f"{exit}", action='Set "HOME" (on Windows "USERPROFILE") in `env` of ollama-sidecar.json.')
    return SpawnFailed(f"{exit}", action="The log has the whole story.")
