"""What control groups tell, against texts as real systems write them: cgroups(7)."""

from __future__ import annotations

import pytest

from core.platform.cgroup import Container, Engine, Machine, Unit, container, machine, unit
from core.platform.owner import runs_ollama

ID = "ab12" * 16
SHORT = "ab12ab12ab12"
USER = "/user.slice/user-1000.slice/user@1000.service"
POD = "pod2f2e7f0b_a6d1_4a5c_9d5f_0b0d3c6d7e11"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0::/system.slice/ollama.service\n", Unit("ollama.service")),
        ("0::/system.slice/system-ollama.slice/ollama@gpu0.service\n", Unit("ollama@gpu0.service")),
        ("0::/system.slice/snap.ollama.listener.service\n", Unit("snap.ollama.listener.service")),
        ("0::/system.slice/docker.service\n", Unit("docker.service")),
        (f"0::{USER}/app.slice/ollama.service\n", Unit("ollama.service", is_user=True)),
        (f"0::{USER}/ollama.service\n", Unit("ollama.service", is_user=True)),
        (f"0::{USER}/app.slice/app-ollama.slice/ollama.service\n", Unit("ollama.service", is_user=True)),
        (f"0::{USER}/init.scope\n", None),
        (f"0::{USER}/app.slice/vte-spawn-5d1e.scope\n", None),
        (f"0::{USER}/app.slice/app-gnome-code-4242.scope\n", None),
        (f"0::{USER}\n", None),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", None),
        ("0::/init.scope\n", None),
        ("0::/\n", None),
        ("", None),
        ("nonsense\n", None),
        # Outside of the part of the hierarchy that we are shown.
        ("0::/../../system.slice/ollama.service\n", None),
        # Version 1: the hierarchy of systemd counts, whatever the others say.
        ("12:pids:/\n3:cpu,cpuacct:/\n1:name=systemd:/system.slice/ollama.service\n", Unit("ollama.service")),
        # Both at once.
        ("5:memory:/x.service\n1:name=systemd:/system.slice/ollama.service\n0::/\n", Unit("ollama.service")),
        (f"1:name=systemd:{USER}/ollama.service\n0::{USER}/ollama.service\n", Unit("ollama.service", is_user=True)),
        ("4:devices:/system.slice/ssh.service\n1:name=systemd:/user.slice/user-0.slice/session-1.scope\n0::/\n", None),
    ],
)
def test_the_innermost_service_is_the_unit(text: str, found: Unit | None) -> None:
    assert unit(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"0::/system.slice/docker-{ID}.scope\n", Container(Engine.DOCKER, SHORT)),
        (f"12:pids:/docker/{ID}\n1:name=systemd:/docker/{ID}\n", Container(Engine.DOCKER, SHORT)),
        (f"0::/../{'cd34' * 16}\n12:pids:/docker/{ID}\n", Container(Engine.DOCKER, SHORT)),
        (f"0::{USER}/user.slice/docker-{ID}.scope\n", Container(Engine.DOCKER, SHORT, is_rootless=True)),
        (f"0::/machine.slice/libpod-{ID}.scope/container\n", Container(Engine.PODMAN, SHORT)),
        (f"0::/machine.slice/libpod-conmon-{ID}.scope\n", Container(Engine.PODMAN, SHORT)),
        (f"0::/libpod_parent/libpod-{ID}\n", Container(Engine.PODMAN, SHORT)),
        (f"0::/system.slice/ollama.service/libpod-payload-{ID}\n", Container(Engine.PODMAN, SHORT)),
        (f"0::{USER}/user.slice/libpod-{ID}.scope/container\n", Container(Engine.PODMAN, SHORT, is_rootless=True)),
        (f"0::/system.slice/nerdctl-{ID}.scope\n", Container(Engine.NERDCTL, SHORT)),
        (
            f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-{POD}.slice/cri-containerd-{ID}.scope\n",
            Container(Engine.KUBERNETES, SHORT),
        ),
        (
            f"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-{POD}.slice/crio-{ID}.scope/container\n",
            Container(Engine.KUBERNETES, SHORT),
        ),
        (f"0::/kubepods.slice/kubepods-{POD}.slice/docker-{ID}.scope\n", Container(Engine.KUBERNETES, SHORT)),
        (f"4:memory:/kubepods/besteffort/{POD}/{ID}\n", Container(Engine.KUBERNETES, SHORT)),
        (
            f"0::/system.slice/containerd.service/kubepods-{POD}.slice:cri-containerd:{ID}\n",
            Container(Engine.KUBERNETES, SHORT),
        ),
        (f"0::/docker/{'cd34' * 16}/kubelet/kubepods/burstable/{POD}/{ID}\n", Container(Engine.KUBERNETES, SHORT)),
        (f"0::/somewhere/{ID}\n", None),
        ("0::/system.slice/docker.service\n", None),
        ("0::/system.slice/containerd.service\n", None),
        (f"0::{USER}/app.slice/ollama.service\n", None),
        ("0::/\n", None),
    ],
)
def test_a_container_is_known_with_its_engine(text: str, found: Container | None) -> None:
    assert container(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0::/lxc.payload.web/system.slice/ollama.service\n", Machine("web", is_lxc=True)),
        ("0::/lxc.payload/web/system.slice/ollama.service\n", Machine("web", is_lxc=True)),
        ("0::/lxc.monitor.web\n", Machine("web", is_lxc=True)),
        ("12:pids:/lxc/101/ns\n1:name=systemd:/lxc/101/ns/system.slice/ollama.service\n", Machine("101", is_lxc=True)),
        (f"0::{USER}/user.slice/lxc.payload.web/ollama.service\n", Machine("web", is_lxc=True)),
        (f"0::/lxc.payload.web/docker/{ID}\n", Machine("web", is_lxc=True)),
        ("0::/machine.slice/machine-deb.scope/payload/system.slice/ollama.service\n", Machine("deb")),
        ("0::/machine.slice/machine-my\\x2ddeb.scope/payload\n", Machine("my-deb")),
        ("0::/machine.slice/systemd-nspawn@deb.service/payload/system.slice/ollama.service\n", Machine("deb")),
        (f"0::/machine.slice/libpod-{ID}.scope/container\n", None),
        (f"0::/system.slice/docker-{ID}.scope/machine.slice/machine-deb.scope/payload\n", None),
        ("0::/system.slice/lxc.service\n", None),
        ("0::/system.slice/ollama.service\n", None),
        ("0::/\n", None),
    ],
)
def test_a_machine_inside_this_one_is_known(text: str, found: Machine | None) -> None:
    assert machine(text) == found


@pytest.mark.parametrize(
    ("command", "is_ollama"),
    [
        ("/usr/local/bin/ollama|serve", True),
        ("ollama|serve", True),
        ("/bin/sh|-c|OLLAMA_DEBUG=1 ollama serve", True),
        ("/bin/bash|-c|exec '/opt/ollama/bin/ollama' serve", True),
        ("/usr/bin/env|OLLAMA_HOST=0.0.0.0|ollama|serve", True),
        ("/usr/bin/dockerd|-H|fd://", False),
        ("sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", False),
        ("/usr/sbin/lightdm", False),
        ("/usr/bin/python3|/opt/open-webui/main.py|--ollama-url|http://127.0.0.1:11434", False),
        ("/usr/bin/python3|/srv/ollama/proxy.py", False),
        ("/usr/bin/tail|-f|/var/log/ollama.log", False),
        ("/bin/bash|-lc|sleep 5; while true; do ollama serve; done", True),
        ("/usr/bin/env|OLLAMA_HOST=0.0.0.0|bash|-c|ollama serve", True),
        ("/usr/bin/nice|-n|5|/usr/local/bin/ollama|serve", True),
        ("/usr/bin/python3|/srv/spawner.py|lab|/home/u/ollama", False),
        ("/usr/bin/dockerd|--data-root|/mnt/ollama", False),
        ("tmux|new|-s|ollama", False),
        ("tmux|new|-s|ollama|serve", False),
        ("/usr/bin/python3|/opt/open-webui|--backend|ollama", False),
        ("/bin/sh|-c|jupyter lab /home/u/ollama", False),
        ("/bin/sh|-c|tmux new -s ollama serve", False),
        ("/bin/sh|/opt/start.sh|ollama serve", False),
        ("/bin/sh|-c|exec /opt/other|ollama serve", False),
        ("/usr/bin/env|jupyter|lab|/home/u/ollama", False),
        ("", False),
    ],
)
def test_a_command_line_tells_whether_it_runs_ollama(command: str, is_ollama: bool) -> None:
    assert runs_ollama(command.split("|")) is is_ollama
