"""What an engine knows of one container: the parts of its answer that matter here, and what they mean. Pure.

The answer is that of `GET /containers/NAME/json`, which Docker and Podman give alike:
https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerInspect
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from core.endpoint import WILDCARDS, Endpoint, bracketed
from core.errors import ConfigError
from core.logs.redact import Redactor, secrets_of
from core.owners.exit import Sequel
from core.owners.protocol import Condition
from core.text import shorten

OLLAMA_PORT = 11434
_HOST_NETWORK = "host"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# The first signal's number is added to this for a program that a signal ended, as a shell does.
_SIGNAL_BASE = 128
_HEALTHS = frozenset({"starting", "healthy", "unhealthy"})
_MOST_SAID = 200


class EngineAnswerOdd(ValueError):
    """The engine's answer has not the shape that its documentation gives."""


class Finding(msgspec.Struct, frozen=True, rename="pascal"):
    """One look of its own check, newest last, and what that printed."""

    exit_code: int = 0
    output: str = ""


class Health(msgspec.Struct, frozen=True, rename="pascal"):
    """What its own check found. `status` is `healthy`, `unhealthy`, `starting`, or empty or `none` without a check."""

    status: str = ""
    log: list[Finding] | None = None


class State(msgspec.Struct, frozen=True, rename="pascal"):
    """Whether it runs. `started_at` names one run of it: RFC 3339, with nanoseconds."""

    status: str = ""
    running: bool = False
    paused: bool = False
    restarting: bool = False
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    started_at: str = ""
    finished_at: str = ""
    o_o_m_killed: bool = False
    health: Health | None = None


class Policy(msgspec.Struct, frozen=True, rename="pascal"):
    """When the engine starts it again by itself: `no`, `on-failure`, `always` or `unless-stopped`."""

    name: str = "no"
    maximum_retry_count: int = 0


class Binding(msgspec.Struct, frozen=True, rename="pascal"):
    """Where on this machine a port of the container is published. An empty `host_ip` means all addresses."""

    host_ip: str = ""
    host_port: str = ""


Bindings = dict[str, list[Binding] | None]


class HostConfig(msgspec.Struct, frozen=True, rename="pascal"):
    """What was wished for when it was made."""

    network_mode: str = ""
    restart_policy: Policy = Policy()
    port_bindings: Bindings | None = None


class NetworkSettings(msgspec.Struct, frozen=True, rename="pascal"):
    """What has come of that, while it runs."""

    ports: Bindings | None = None


class Config(msgspec.Struct, frozen=True, rename="pascal"):
    """What runs in it. `env` is a list of `NAME=value`, from the image as well."""

    env: list[str] | None = None
    tty: bool = False
    image: str = ""


class Container(msgspec.Struct, frozen=True, rename="pascal"):
    """One container. `restart_count` is how often the engine started it again since it was last started on purpose."""

    id: str
    name: str = ""
    restart_count: int = 0
    state: State = State()
    host_config: HostConfig = HostConfig()
    network_settings: NetworkSettings = NetworkSettings()
    config: Config = Config()

    @property
    def short_id(self) -> str:
        """The id as people and control groups write it."""
        return self.id[:12]

    @property
    def runs(self) -> bool:
        """Whether its first process lives."""
        return self.state.running and self.state.pid > 0 and not self.state.restarting

    @property
    def run(self) -> tuple[str, str]:
        """What names this run of it, and no earlier or later one."""
        return self.id, self.state.started_at

    @property
    def uses_host_network(self) -> bool:
        """Whether its Ollama listens on this machine itself, with nothing between."""
        return self.host_config.network_mode == _HOST_NETWORK

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its first process."""
        return {name: value for name, _, value in (line.partition("=") for line in self.config.env or ())}

    def listens_at(self) -> list[Endpoint] | None:
        """Where on this machine its Ollama can be reached; empty if nowhere, None if its settings do not tell.

        A container that shares the network of another publishes nothing itself.
        """
        own = self._own_endpoint()
        if own is None or self.host_config.network_mode.startswith(("container:", "ns:")):
            return None
        if self.uses_host_network:
            return [own]
        key = f"{own.port}/tcp"
        for bindings in (self.network_settings.ports, self.host_config.port_bindings):
            found = [
                Endpoint("http", binding.host_ip or "0.0.0.0", int(binding.host_port))  # noqa: S104 - as the engine has it
                for binding in (bindings or {}).get(key) or ()
                if binding.host_port.isdigit() and int(binding.host_port)
            ]
            if found:
                return found
        return []

    def _own_endpoint(self) -> Endpoint | None:
        """Where Ollama listens inside of it, by OLLAMA_HOST; None if that cannot be understood."""
        text = self.environment.get("OLLAMA_HOST", "")
        try:
            return Endpoint.parse(text or f"http://127.0.0.1:{OLLAMA_PORT}")
        except ConfigError:
            return None

    def exposed_at(self) -> list[Endpoint]:
        """Where others on the network may reach its Ollama, as far as its settings tell."""
        return [place for place in self.listens_at() or () if not place.is_loopback]

    def answers(self, wanted: Endpoint) -> bool | None:
        """Whether its Ollama is the one to be had at `wanted`; None if its settings do not tell."""
        found = self.listens_at()
        if found is None:
            return None
        return any(place.port == wanted.port and _covers(place.host, wanted.host) for place in found)

    def restarts_after(self, code: int | None) -> bool:
        """Whether the engine starts it again by itself after an end with that exit code, unless it was stopped."""
        policy = self.host_config.restart_policy
        if policy.name == "on-failure":
            most = policy.maximum_retry_count
            return code != 0 and (not most or self.restart_count < most)
        return policy.name in ("always", "unless-stopped")

    def sequel(self, *, is_ours: bool, was_asked: bool, code: int | None) -> Sequel:
        """What follows an end after which the container does not run again, as the engine shows it a while later.

        `is_ours`: we had it stopped. `was_asked`: somebody had the engine stop it, as far as is known.
        """
        if is_ours:
            return Sequel.OURS
        if was_asked or code == 0 or self.host_config.restart_policy.name in ("always", "unless-stopped"):
            return Sequel.STOPPED
        return Sequel.LEFT

    @property
    def condition(self) -> Condition:
        """What the engine tells of it while it runs; an empty one else."""
        if not self.runs:
            return Condition()
        health = self.state.health
        if health is None or health.status not in _HEALTHS:
            return Condition(restarts=self.restart_count)
        problem = None
        if health.status == "unhealthy":
            last = next((look for look in reversed(health.log or ()) if look.exit_code), Finding())
            said = shorten(" ".join(last.output.split()), _MOST_SAID) or f"exit code {last.exit_code}"
            starred = Redactor(secrets_of(self.environment))(said.encode()).decode("utf-8", "replace")
            problem = f"The health check of the container {self.name} fails: {starred}."
        return Condition(health.status, problem, self.restart_count)

    @property
    def exit_code(self) -> int:
        """How its last run ended: negative for a signal, as Python counts."""
        code = self.state.exit_code
        return _SIGNAL_BASE - code if _SIGNAL_BASE < code < _SIGNAL_BASE + 65 else code


def parse(answer: Mapping[str, Any]) -> Container:
    """The container of an engine's answer. Raises EngineAnswerOdd."""
    try:
        container = msgspec.convert(answer, Container)
    except msgspec.ValidationError as error:
        raise EngineAnswerOdd(str(error)) from error
    return msgspec.structs.replace(container, name=container.name.removeprefix("/"))


def places_in_words(container: Container) -> str:
    """Where its Ollama can be reached, for people."""
    found = container.listens_at() or []
    return " and ".join(f"{bracketed(place.host)}:{place.port}" for place in found) or "no port of this machine"


def _covers(place: str, wanted: str) -> bool:
    """Whether who calls `wanted` reaches what listens at `place`."""
    if place in WILDCARDS or wanted in WILDCARDS:
        return True
    is_named_loopback = wanted == "localhost" or wanted.endswith(".localhost")
    return place == wanted or (place in _LOOPBACK and is_named_loopback)
