"""Whose process holds a port, against real sockets and control groups."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from core.endpoint import Endpoint
from core.ollama.listener import describe, find_listener
from tests import tied
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import OllamaServer, ollama_environment
from tests.beds.wire import free_port, listens


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
    assert describe(pid, 8200).owner == f"a process (pid {pid})"


def test_a_wildcard_is_held_by_whoever_listens_anywhere_on_its_port() -> None:
    """Where an Ollama shall listen at all addresses, it cannot if another program has one of them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        for host in ("0.0.0.0", "[::]"):
            found = find_listener(Endpoint.parse(f"http://{host}:{server.getsockname()[1]}"))
            assert found is not None
            assert found.pid == tied.owner(os.getpid())


@pytest.fixture
def service() -> Iterator[Path]:
    """The control group of a service of ours, as systemd makes one, for processes to be put into."""
    with control_group("aura-test.slice/aura-test.service") as group:
        yield group


@contextmanager
def control_group(below: str) -> Iterator[Path]:
    """A control group in systemd's hierarchy. At the end nothing may be in it."""
    root = next(path for path in (Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup")) if path.is_dir())
    group = root / below
    try:
        group.mkdir(parents=True)
    except OSError as error:
        pytest.skip(f"needs root, to make control groups: {error}")
    yield group
    deadline = time.monotonic() + 5
    while (group / "cgroup.procs").read_text():
        assert time.monotonic() < deadline, "a process is left in the control group"
        time.sleep(0.01)
    for made in (group, *group.parents[: len(Path(below).parts) - 1]):
        made.rmdir()


@tied.linux("control groups")
def test_a_service_is_named_only_if_all_it_runs_is_ollama(service: Path, tmp_path: Path) -> None:
    """So is no `docker.service`, `ssh.service` or `lightdm.service` that an Ollama was started from."""
    require(ollama)
    with OllamaServer(tmp_path) as server:
        server.wait_ready()
        (service / "cgroup.procs").write_text(str(server.pid))
        alone = describe(server.pid, server.port)
        assert alone.owner.startswith("system service aura-test.service (ollama (pid ")
        assert alone.by_hand == "Stop it with: sudo systemctl stop aura-test.service"
        with subprocess.Popen(["sleep", "60"]) as other:
            (service / "cgroup.procs").write_text(str(other.pid))
            among_others = describe(server.pid, server.port)
            other.kill()
        assert "aura-test" not in f"{among_others}"
        assert among_others.by_hand == f"Stop process {server.pid} where it was started."


FOREIGN = {
    "jupyter": ["lab", "/home/u/ollama"],
    "dockerd": ["--data-root", "/mnt/ollama"],
    "tmux": ["new", "-s", "ollama"],
    "open-webui": ["--backend", "ollama", "serve"],
}


@tied.linux("control groups")
@pytest.mark.parametrize("program", FOREIGN)
def test_a_service_that_only_speaks_of_ollama_is_not_named(service: Path, tmp_path: Path, program: str) -> None:
    """An Ollama that Jupyter, Docker, tmux or Open WebUI has started: whoever stops these stops more than he wants."""
    require(ollama)
    code = "import sys; sys.stdin.read()"
    arguments = [sys.executable, "-c", code, *FOREIGN[program]]
    with (
        OllamaServer(tmp_path) as server,
        subprocess.Popen(arguments, stdin=subprocess.PIPE) as parent,
    ):
        server.wait_ready()
        for pid in (server.pid, parent.pid):
            (service / "cgroup.procs").write_text(str(pid))
        found = describe(server.pid, server.port)
        parent.kill()
    assert "aura-test" not in f"{found}"
    assert found.by_hand == f"Stop process {server.pid} where it was started."


@tied.linux("control groups")
def test_a_service_whose_shell_runs_something_else_beside_ollama_is_not_named(service: Path, tmp_path: Path) -> None:
    require(ollama)
    with OllamaServer(tmp_path) as server:
        server.wait_ready()
        (service / "cgroup.procs").write_text(str(server.pid))
        # The shell says that it runs Ollama, which does not say that it runs nothing else.
        script = "read line; sleep 60 & echo; read line; ollama serve"
        with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as shell:
            assert shell.stdin
            assert shell.stdout
            (service / "cgroup.procs").write_text(str(shell.pid))
            assert describe(server.pid, server.port).by_hand.endswith(" stop aura-test.service")
            shell.stdin.write(b"\n")
            assert shell.stdout.readline() == b"\n"
            found = describe(server.pid, server.port)
            for beside in psutil.Process(shell.pid).children():
                beside.kill()
            shell.kill()
    assert found.by_hand == f"Stop process {server.pid} where it was started."


@tied.linux("control groups")
@pytest.mark.parametrize(
    ("group", "where"),
    [
        ("lxc.payload.aura-test/system.slice/ollama.service", "LXC container aura-test"),
        ("aura-test.slice/machine-aura\\x2dtest.scope/payload/system.slice/ollama.service", "machine aura-test"),
    ],
)
def test_a_service_inside_another_machine_is_not_told_as_one_of_this(tmp_path: Path, group: str, where: str) -> None:
    require(ollama)
    with control_group(group) as inside, OllamaServer(tmp_path) as server:
        server.wait_ready()
        (inside / "cgroup.procs").write_text(str(server.pid))
        found = describe(server.pid, server.port)
    assert found.owner.startswith(f"{where} (ollama (pid {server.pid}")
    assert found.by_hand == f"Stop it inside the {where}."


@tied.linux("a process there is named as its program is")
def test_a_published_port_of_docker_is_no_service_of_its_own(tmp_path: Path) -> None:
    """`docker run -p` has the port held by `docker-proxy`, which belongs to `docker.service`."""
    program = tmp_path / "docker-proxy"
    program.symlink_to(shutil.which("sleep") or "sleep")
    with subprocess.Popen([program, "60"]) as proxy:
        found = describe(proxy.pid, 8200)
        proxy.kill()
    assert found.owner.startswith("a docker container")
    assert found.by_hand == "Stop it with: docker stop $(docker ps --quiet --filter publish=8200)"


LABEL = "com.openssh.sshd"


@tied.linux("the stand-in for launchctl is a shell script")
@pytest.mark.parametrize("program", ["sshd", "ollama"])
def test_an_ollama_that_descends_from_a_job_of_something_else_is_not_its(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """As one is that somebody has started over ssh."""
    require(ollama)
    parent = tmp_path / program
    shutil.copy(sys.executable, parent)
    plist = tmp_path / f"{LABEL}.plist"
    plist.touch()
    port = free_port()
    command = [require(ollama).executable, "serve"]
    child = f"import subprocess; subprocess.run({[str(word) for word in command]!r})"
    env = {**os.environ, **ollama_environment(tmp_path, tmp_path / "models"), "OLLAMA_HOST": f"127.0.0.1:{port}"}
    with subprocess.Popen([parent, "-I", "-S", "-c", child], env=env, stderr=subprocess.DEVNULL) as job:
        try:
            deadline = time.monotonic() + 10
            while not listens(port):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            (own,) = psutil.Process(job.pid).children()
            (tmp_path / "launchctl").write_text(
                "#!/bin/sh\ncase $2 in\n"
                f"gui/*/*) printf 'x = {{\\n\\tpath = {plist}\\n\\tpid = {job.pid}\\n}}\\n' ;;\n"
                f"gui/*) printf 'x = {{\\n\\tservices = {{\\n\\t\\t{job.pid} - \\t{LABEL}\\n\\t}}\\n}}\\n' ;;\n"
                "esac\n"
            )
            (tmp_path / "launchctl").chmod(0o755)
            monkeypatch.setenv("PATH", str(tmp_path))
            found = describe(own.pid, port)
        finally:
            own.kill()
    assert found.offer == (None if program == "sshd" else f"launchd:{LABEL}")
