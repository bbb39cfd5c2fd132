"""`./dev` says all that a person has to do, and asks for no more than the command needs. Its outside tools stand in."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import tied
from tests.beds.sidecar import CHECKOUT

pytestmark = tied.posix("a shell script")
PLAIN_TOOLS = ("sh", "dirname", "sed", "grep", "cat", "cksum", "env")
HAS = """#!/bin/sh
for package; do :; done
case " $MISSING " in *" $package "*) ;; *) echo installed ;; esac
"""


class Machine:
    """A checkout with only `dev` and an environment in it, and a PATH with only what a test puts there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tools = root / "tools"
        self.tools.mkdir()
        for name in PLAIN_TOOLS:
            (self.tools / name).symlink_to(str(shutil.which(name)))
        for name in ("dev", "pyproject.toml"):
            shutil.copy(CHECKOUT / name, root / name)
        environment = root / ".venv"
        (environment / "bin").mkdir(parents=True)
        (environment / "pyvenv.cfg").write_text("include-system-site-packages = true\n")
        self._write(environment / "bin" / "python", "#!/bin/sh\necho python $*\n")

    def debian(self, *, user: int, sudo: bool = False) -> None:
        """Give it apt, for a user with that number."""
        self.tool("dpkg-query", HAS)
        self.tool("apt-get", "#!/bin/sh\necho apt-get $*\n")
        self.tool("id", f"#!/bin/sh\necho {user}\n")
        if sudo:
            self.tool("sudo", '#!/bin/sh\necho sudo\nexec "$@"\n')

    def tool(self, name: str, text: str) -> None:
        """Put a program on the PATH."""
        self._write(self.tools / name, text)

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def dev(self, *arguments: str, missing: str = "") -> subprocess.CompletedProcess[str]:
        """Run `./dev` there, with those Debian packages missing."""
        env = {"PATH": str(self.tools), "MISSING": missing, "HOME": os.environ.get("HOME", "/")}
        command = [str(self.root / "dev"), *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=20, check=False)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_its_usage_is_the_comment_at_its_top_alone(machine: Machine) -> None:
    done = machine.dev()
    assert done.returncode == 2
    assert done.stderr.startswith("One command for a checkout")
    assert done.stderr.rstrip().endswith("a .venv in this folder.")


def test_without_sudo_it_says_the_whole_line(machine: Machine) -> None:
    machine.debian(user=1000)
    done = machine.dev("try", missing="gcc binutils")
    assert done.returncode == 2
    assert "apt-get update && apt-get install --no-install-recommends gcc binutils\n" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(("user", "sudo"), [(0, False), (1000, True)])
def test_with_the_right_to_it_installs_what_is_missing(machine: Machine, user: int, sudo: bool) -> None:
    machine.debian(user=user, sudo=sudo)
    done = machine.dev("try", missing="gcc binutils")
    assert done.returncode == 0
    assert "apt-get -qq update" in done.stdout
    assert ("sudo" in done.stdout) is sudo
    assert "python -m tests.beds try" in done.stdout
    assert "Installing gcc binutils" in done.stderr


@pytest.mark.parametrize("arguments", [("--headless",), ("--port", "0", "--headless"), ("--version",), ("status",)])
def test_what_shows_no_tray_needs_no_toolkit(machine: Machine, arguments: tuple[str, ...]) -> None:
    machine.debian(user=1000)
    done = machine.dev("run", *arguments, missing="python3-gi gir1.2-gtk-3.0")
    assert done.returncode == 0
    assert f"python -m cli {' '.join(arguments)}" in done.stdout
    assert machine.dev("run", missing="python3-gi gir1.2-gtk-3.0").returncode == 2
    assert machine.dev("run", "run", missing="python3-gi gir1.2-gtk-3.0").returncode == 2


def test_without_apt_it_says_how_to_run_try_and_test(machine: Machine) -> None:
    done = machine.dev("run")
    assert done.returncode == 2
    for command in ("aura-ollama", "python -m tests.beds try", "python -m pytest"):
        assert f".venv/bin/{command}" in done.stderr


def test_what_is_measured_beside_is_installed_for_the_bench_alone(machine: Machine) -> None:
    """From PyPI too, once."""
    machine.debian(user=0)
    assert "Installing" not in machine.dev("check", missing="wrk strace").stderr.replace("Installing what", "")
    done = machine.dev("bench", "--json", missing="wrk strace")
    assert "Installing wrk strace" in done.stderr
    assert "--editable .[dev,bench]" in done.stdout
    assert done.stdout.endswith("python -m bench --json\n")
    assert "--editable" not in machine.dev("bench").stdout
