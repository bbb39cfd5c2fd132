"""A container with a network of its own: who holds its published port, and what the doctor says of that port."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.endpoint import Endpoint
from core.ollama.listener import describe, find_listener
from core.ollama.publishers import engine_of, is_publisher
from core.platform.cgroup import Engine as Kind
from tests.beds.engines import BridgedDocker
from tests.beds.require import require
from tests.beds.wire import free_port
from tests.core.doctor.bed import Patient, only
from tests.core.owners.test_container_linux import owner_in, plan

pytestmark = pytest.mark.timeout(60)
HELPERS = ("docker-proxy", "rootlesskit-docker-proxy", "rootlessport", "conmon", "gvproxy", "slirp4netns", "pasta.avx2")


@pytest.fixture(scope="module")
def serving() -> Iterator[BridgedDocker]:
    """One for this module; the name hides that of the engines without networks."""
    folder = Path(tempfile.mkdtemp(prefix="aura-engine-"))
    try:
        with require(lambda: BridgedDocker(folder)) as engine:
            yield engine
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create(engine: BridgedDocker, port: int, address: str = "127.0.0.1") -> None:
    """The container `ollama`, which publishes its Ollama at that port of that address."""
    engine.create(
        "ollama",
        11434,
        env={"OLLAMA_HOST": "0.0.0.0:11434"},
        host={
            "NetworkMode": "bridge",
            "PortBindings": {"11434/tcp": [{"HostIp": address, "HostPort": str(port)}]},
        },
        config={"ExposedPorts": {"11434/tcp": {}}},
    )


async def test_whoever_holds_a_port_for_a_container_leads_to_it(tmp_path: Path, engine: BridgedDocker) -> None:
    port = free_port()
    create(engine, port)
    running = await owner_in(tmp_path).start(plan(tmp_path, port))
    assert running.url == f"http://127.0.0.1:{port}"
    listener = await asyncio.to_thread(find_listener, Endpoint.parse(running.url))
    assert listener is not None
    assert "docker-proxy" in listener.owner
    assert (listener.offer, listener.by_hand) == ("container:ollama", "Stop it with: docker stop ollama")
    assert listener.pid
    assert await asyncio.to_thread(running.owns, listener.pid)
    inside = await asyncio.to_thread(describe, running.pid, port)
    assert inside.offer == "container:ollama"


def test_each_helper_that_holds_ports_for_containers_leads_to_the_container(
    tmp_path: Path, engine: BridgedDocker
) -> None:
    port = free_port()
    create(engine, port)
    engine.call("POST", "/containers/ollama/start")
    for name in HELPERS:
        program = tmp_path / name
        program.symlink_to(shutil.which("sleep") or "sleep")
        with subprocess.Popen([program, "60"]) as helper:
            try:
                found, other = describe(helper.pid, port), describe(helper.pid, free_port())
            finally:
                helper.kill()
        assert found.offer == "container:ollama", name
        assert "container" in found.owner
        assert "stop ollama" in found.by_hand
        assert other.offer is None
        # What may serve others than containers is called by its own name where no container has the port.
        assert other.owner.startswith("a ") is (engine_of(name) is not None)


def test_helpers_are_known_by_as_much_of_their_name_as_the_kernel_tells() -> None:
    assert engine_of("rootlesskit-doc") is Kind.DOCKER
    assert engine_of("rootlesskit") is None
    assert is_publisher("rootlesskit")
    assert not is_publisher("ollama")


async def test_the_doctor_tells_of_a_port_for_all_the_network_and_of_another_one(
    tmp_path: Path, engine: BridgedDocker
) -> None:
    patient = Patient(tmp_path)
    patient.set_own(owner="container:ollama")
    missing = only(await patient.examined("the container"))
    assert missing.code == "container_unknown"
    assert "container create" in (missing.action or "")
    port = patient.port
    create(engine, port)
    assert (await patient.examined("the container")).findings == ()
    engine.remove("ollama")
    # Made and not started: nothing here listens for others.
    create(engine, port, "0.0.0.0")
    exposed = only(await patient.examined("the container"))
    assert (exposed.code, exposed.severity.value) == ("container_exposed", "warning")
    assert f"0.0.0.0:{port}" in exposed.message
    assert exposed.action == f"Make the container anew with --publish 127.0.0.1:{port}:11434."
    engine.remove("ollama")
    other = free_port()
    create(engine, other)
    elsewhere = only(await patient.examined("the container"))
    assert (elsewhere.code, elsewhere.severity.value) == ("container_elsewhere", "broken")
    assert f'Set ollamaUrl to "http://127.0.0.1:{other}"' in (elsewhere.action or "")
    assert f"--publish 127.0.0.1:{port}:11434" in (elsewhere.action or "")
    assert os.environ["DOCKER_HOST"] == engine.url
