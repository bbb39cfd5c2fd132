"""`aura-ollama container create` against a real Podman and a real Docker: what it says, asks and makes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cli import exits
from core.errors import ConfigError
from core.new_container import Wanted
from core.owners.container.facts import parse
from tests.beds.container_image import NAME
from tests.beds.engines import Engine
from tests.cli.terminal import aura

pytestmark = pytest.mark.timeout(60)


def test_it_is_made_as_it_was_said_and_only_after_a_yes(engine: Engine) -> None:
    words = ["container", "create", "--image", NAME, "--port", "23434", "--gpu", "none"]
    env = {"DOCKER_HOST": os.environ["DOCKER_HOST"]}
    shown = aura(*words, "--dry-run", env=env)
    assert shown.code == exits.DONE
    assert "http://127.0.0.1:23434, for this machine only" in shown.err
    assert engine.call("GET", "/containers/json?all=true") == []
    refused = aura(*words, env=env)
    assert refused.code == exits.FAILED
    assert "Nothing was made" in refused.err
    assert engine.call("GET", "/containers/json?all=true") == []
    made = aura(*words, "--yes", env=env)
    assert made.code == exits.DONE, made.err
    assert "http://127.0.0.1:23434, for this machine only" in made.err
    assert "settings set owner container:ollama" in made.out
    found = parse(engine.inspect("ollama"))
    assert [(place.host, place.port) for place in found.listens_at() or ()] == [("127.0.0.1", 23434)]
    assert found.host_config.restart_policy.name == "unless-stopped"
    assert not found.runs
    mounts = [(mount["Type"], mount["Name"], mount["Destination"]) for mount in engine.inspect("ollama")["Mounts"]]
    assert mounts == [("volume", "ollama", "/root/.ollama")]
    again = aura(*words, "--yes", env=env)
    assert again.code == exits.FAILED
    assert "has a container ollama already" in again.err


def test_an_engine_takes_what_is_asked_of_it_for_graphics_processors(engine: Engine) -> None:
    # Made and not started: this machine need not have them.
    for gpu in ("nvidia", "amd"):
        words = ["container", "create", "--name", gpu, "--image", NAME, "--port", "23434", "--gpu", gpu, "--yes"]
        made = aura(*words, env={"DOCKER_HOST": os.environ["DOCKER_HOST"]})
        if gpu == "amd" and engine.name == "Podman" and not Path("/dev/kfd").exists():
            # Podman looks for devices at once.
            assert made.code == exits.FAILED
            assert "/dev/kfd" in made.err
            continue
        assert made.code == exits.DONE, made.err
        given = engine.inspect(gpu)["HostConfig"]
        if gpu == "amd":
            assert [one["PathOnHost"] for one in given["Devices"]] == ["/dev/kfd", "/dev/dri"]
        elif engine.name == "Docker":
            assert [(one["Driver"], one["Count"]) for one in given["DeviceRequests"]] == [("nvidia", -1)]
        found = parse(engine.inspect(gpu))
        assert [(place.host, place.port) for place in found.listens_at() or ()] == [("127.0.0.1", 23434)]
        assert found.host_config.restart_policy.name == "unless-stopped"
        assert [mount["Destination"] for mount in engine.inspect(gpu)["Mounts"]] == ["/root/.ollama"]


def test_graphics_processors_are_asked_for_as_each_engine_has_them() -> None:
    nvidia, amd = (Wanted("ollama", 11434, "ollama", vendor, "ollama/ollama") for vendor in ("nvidia", "amd"))
    assert nvidia.body()["HostConfig"]["DeviceRequests"][0]["Capabilities"] == [["gpu"]]
    assert nvidia.podman_body()["devices"] == [{"path": "nvidia.com/gpu=all"}]
    assert [one["PathOnHost"] for one in amd.body()["HostConfig"]["Devices"]] == ["/dev/kfd", "/dev/dri"]
    assert (nvidia.source, amd.source) == ("ollama/ollama:latest", "ollama/ollama:rocm")


@pytest.mark.parametrize(("name", "port"), [("a b", 11434), ("-x", 11434), ("ollama", 0), ("ollama", 70000)])
def test_what_no_engine_takes_is_said_before_one_is_asked(name: str, port: int) -> None:
    with pytest.raises(ConfigError) as failure:
        Wanted(name, port, "ollama", None, "ollama/ollama").check()
    assert failure.value.action
