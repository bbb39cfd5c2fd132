"""Makes a container for Ollama in Docker or Podman, for a person who asked for it. Nothing else here makes one.

The container publishes its port on loopback only, keeps its models in a volume of its own name, is started again by its
engine unless it was stopped, and gets the graphics processors that this machine has. It is made and not started.

The image and its flags are told at https://docs.ollama.com/docker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import aiodocker

from core.errors import ConfigError
from core.owners.container.engine import CALL_SECONDS, Engine, EngineFault, NoSuchContainer, sockets
from core.platform.gpu import installed_gpus
from core.settings.owner import parse

IMAGE = "ollama/ollama"
OWN_PORT = 11434
T = TypeVar("T")
VENDORS = ("nvidia", "amd")
_MODELS = "/root/.ollama"
_PULL_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to make. `port` is the one on this machine; `gpu` is `nvidia`, `amd`, or None for the processor alone."""

    name: str
    port: int
    volume: str
    gpu: str | None
    image: str

    def check(self) -> None:
        """Raise ConfigError, which names what cannot be used."""
        for what, value in (("name", self.name), ("volume", self.volume)):
            try:
                parse(f"container:{value}")
            except ValueError:
                raise ConfigError(
                    f"The {what} {value!r} is none that Docker and Podman accept.",
                    action="Use letters, digits, and `_`, `.` or `-` after the first.",
                ) from None
        if not 1 <= self.port <= 65535:
            raise ConfigError(f"The port {self.port} is none.", action="Give a whole number from 1 to 65535.")

    @property
    def source(self) -> str:
        """The image with its tag."""
        last = self.image.rpartition("/")[2]
        if ":" in last or "@" in last:
            return self.image
        return f"{self.image}:{'rocm' if self.gpu == 'amd' and self.image == IMAGE else 'latest'}"

    def podman_body(self) -> dict[str, Any]:
        """What Podman is told for NVIDIA's cards, which it has as devices of the Container Device Interface (CDI).

        It takes these by its own API only: https://docs.podman.io/en/latest/_static/api.html#operation/ContainerCreateLibpod.
        """
        return {
            "name": self.name,
            "image": self.source,
            "portmappings": [{"host_ip": "127.0.0.1", "host_port": self.port, "container_port": OWN_PORT}],
            "restart_policy": "unless-stopped",
            "volumes": [{"Name": self.volume, "Dest": _MODELS}],
            "devices": [{"path": "nvidia.com/gpu=all"}],
        }

    def body(self) -> dict[str, Any]:
        """What the engine is told: https://docs.docker.com/reference/api/engine/version/v1.41/#operation/ContainerCreate."""
        host: dict[str, Any] = {
            "PortBindings": {f"{OWN_PORT}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(self.port)}]},
            "RestartPolicy": {"Name": "unless-stopped"},
            "Binds": [f"{self.volume}:{_MODELS}"],
        }
        if self.gpu == "nvidia":
            host["DeviceRequests"] = [{"Driver": "nvidia", "Count": -1, "Capabilities": [["gpu"]]}]
        elif self.gpu == "amd":
            host["Devices"] = [_device("/dev/kfd"), _device("/dev/dri")]
        return {"Image": self.source, "ExposedPorts": {f"{OWN_PORT}/tcp": {}}, "HostConfig": host}

    def in_words(self, place: str) -> list[str]:
        """What would be done by the engine at `place`, a line each."""
        gpu = {"nvidia": "all of NVIDIA's", "amd": "AMD's (/dev/kfd, /dev/dri)"}.get(self.gpu or "", "none")
        return [
            f"Engine               {place}",
            f"Container            {self.name}",
            f"Image                {self.source}, downloaded if it is not there",
            f"Address              http://127.0.0.1:{self.port}, for this machine only",
            f"Models               in the volume {self.volume}",
            f"Graphics processors  {gpu}",
            "Restart              by its engine, unless it was stopped",
        ]


def _device(path: str) -> dict[str, str]:
    return {"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rwm"}


def gpu_here() -> str | None:
    """The vendor of the graphics processor that a container would get, None if there is none. Blocks."""
    found = {gpu.vendor for gpu in installed_gpus()}
    return next((vendor for vendor in VENDORS if vendor in found), None)


def engine_for(wanted: Wanted) -> Engine:
    """The first engine that answers. Blocks. Raises ConfigError, also if any has a container of that name."""
    wanted.check()
    return asyncio.run(_in_words(_engine_for(wanted)))


def make(wanted: Wanted, engine: Engine) -> None:
    """Download the image, if it is not there, and make the container. Blocks, for up to an hour. Raises ConfigError."""
    asyncio.run(_in_words(_make(wanted, engine)))


async def _engine_for(wanted: Wanted) -> Engine:
    faults = []
    free = []
    for url in await sockets():
        engine = Engine(url)
        try:
            await engine.inspect(wanted.name)
        except NoSuchContainer:
            free.append(engine)
        except EngineFault as fault:
            faults.append(fault)
        else:
            raise EngineFault(
                f"{engine.place} has a container {wanted.name} already.",
                f"Control it with `aura-ollama settings set owner container:{wanted.name}`, or choose another --name.",
            )
    if free:
        return free[0]
    raise faults[0]


async def _make(wanted: Wanted, engine: Engine) -> None:
    is_for_podman = wanted.gpu == "nvidia" and await engine.is_podman()
    async with engine.docker(_PULL_SECONDS) as docker:
        try:
            await docker.images.inspect(wanted.source)
        except aiodocker.DockerError as error:
            if error.status != 404:
                raise
            await docker.images.pull(wanted.source)
    async with engine.docker(CALL_SECONDS * 4) as docker:
        if is_for_podman:
            await engine.create_by_podman(docker, wanted.podman_body())
        else:
            await docker.containers.create(wanted.body(), name=wanted.name)


async def _in_words(work: Coroutine[Any, Any, T]) -> T:
    try:
        return await work
    except EngineFault as fault:
        raise ConfigError(fault.message, action=fault.action) from fault
