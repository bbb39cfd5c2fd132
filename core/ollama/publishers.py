"""Helper programs that hold a published port for a container and are not part of it. Pure."""

from __future__ import annotations

from core.platform.cgroup import Engine

_ENGINES: dict[str, Engine | None] = {
    "docker-proxy": Engine.DOCKER,
    # Of rootless Docker, and of Docker Desktop.
    "rootlesskit-docker-proxy": Engine.DOCKER,
    "com.docker.backend": Engine.DOCKER,
    "com.docker.backend.exe": Engine.DOCKER,
    "rootlessport": Engine.PODMAN,
    "conmon": Engine.PODMAN,
    # Of Podman's machine.
    "gvproxy": Engine.PODMAN,
    "gvproxy.exe": Engine.PODMAN,
    "win-sshproxy.exe": Engine.PODMAN,
    # Either engine's, where it is rootless; `pasta` and `slirp4netns` may serve others too.
    "rootlesskit": None,
    "slirp4netns": None,
    "pasta": None,
    "pasta.avx2": None,
}
"""Each one's engine, None if it may be that of either."""
_LONGEST_NAME = 15
"""The kernel tells no more characters of a name: proc_pid_comm(5)."""
_CUT = {name[:_LONGEST_NAME]: engine for name, engine in _ENGINES.items()}


def is_publisher(name: str) -> bool:
    """Whether a program of that name holds ports for containers."""
    return name[:_LONGEST_NAME] in _CUT


def engine_of(name: str) -> Engine | None:
    """The engine for which a program of that name holds ports; None if it does not, or may do so for any."""
    return _CUT.get(name[:_LONGEST_NAME])
