"""Whose process holds a port, against real sockets; and what control groups tell, against texts that systems make."""

from __future__ import annotations

import os
import socket

import psutil
import pytest

from core.endpoint import Endpoint
from core.listener import describe, find_listener, unit_and_container
from tests import tied


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.5", "[::1]"])
def test_a_listener_is_named_whichever_way_the_url_names_this_machine(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    address = {"localhost": "127.0.0.1", "[::1]": "::1"}.get(host, host)
    with socket.create_server((address, 0), family=family) as server:
        found = find_listener(Endpoint.parse(f"http://{host}:{server.getsockname()[1]}"))
    assert found is not None
    assert found.pid == tied.owner(os.getpid())


@tied.beyond_wine("its tables of sockets name no process")
def test_a_listener_is_named_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = find_listener(Endpoint.parse(f"http://127.0.0.1:{server.getsockname()[1]}"))
    assert found is not None
    assert f"pid {os.getpid()}" in found.owner


def test_a_wildcard_listener_is_found_and_a_connection_is_no_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        port = client.getsockname()[1]
        assert find_listener(Endpoint.parse(f"http://127.0.0.1:{port}")) is None
    with socket.create_server(("0.0.0.0", 0)) as server:
        found = find_listener(Endpoint.parse(f"http://127.0.0.1:{server.getsockname()[1]}"))
    assert found is not None
    assert found.pid == tied.owner(os.getpid())


def test_a_process_that_is_gone_is_described_all_the_same() -> None:
    pid = max(psutil.pids()) + 1000
    assert describe(pid).owner == f"a process (pid {pid})"


@pytest.mark.parametrize(
    ("cgroup", "unit", "container"),
    [
        ("0::/system.slice/ollama.service\n", "ollama.service", None),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/ollama.service\n", "ollama.service", None),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope\n", None, None),
        (f"0::/system.slice/docker-{'ab12' * 16}.scope\n", None, "ab12ab12ab12"),
        (f"0::/../{'ab12' * 16}\n12:pids:/docker/{'cd34' * 16}\n", None, "cd34cd34cd34"),
        (f"0::/machine.slice/libpod-{'ef56' * 16}.scope/container\n", None, "ef56ef56ef56"),
        ("0::/\n", None, None),
    ],
)
def test_a_control_group_tells_the_service_or_the_container(
    cgroup: str, unit: str | None, container: str | None
) -> None:
    """The paths are what systemd, Docker and Podman make: cgroups(7)."""
    assert unit_and_container(cgroup) == (unit, container)
