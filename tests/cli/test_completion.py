"""`completion`: a script for each shell, which knows every command and its options."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cli import exits, table
from tests import tied
from tests.beds.require import require
from tests.beds.screen import program
from tests.beds.sidecar import CHECKOUT
from tests.cli.terminal import DEADLINE, aura

pytestmark = pytest.mark.timeout(60)
ASK = """
source /dev/stdin <<'SCRIPT'
{script}
SCRIPT
COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); COMP_LINE="${{COMP_WORDS[*]}}"
COMP_POINT=${{#COMP_LINE}}
$(complete -p aura-ollama | sed 's/.*-F \\([^ ]*\\).*/\\1/') aura-ollama "${{COMP_WORDS[COMP_CWORD]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_each_script_knows_every_command(shell: str) -> None:
    said = aura("completion", shell)
    assert (said.code, said.err) == (exits.DONE, "")
    for command in table.COMMANDS:
        assert command.name in said.out


@tied.posix("bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("aura-ollama st", {"status", "start", "stop"}),
        ("aura-ollama completion p", {"powershell"}),
        ("aura-ollama token --pa", {"--path"}),
        ("aura-ollama settings --j", {"--json"}),
        ("aura-ollama run --he", {"--help", "--headless"}),
    ],
)
def test_bash_offers_what_may_follow(words: str, offered: set[str]) -> None:
    bash = shutil.which("bash")
    assert bash
    script = ASK.format(script=aura("completion", "bash").out, words=words)
    done = subprocess.run(
        [bash, "--norc"], cwd=CHECKOUT, input=script, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert {word.strip() for word in done.stdout.split()} == offered, done.stderr


@tied.linux("zsh and fish are Debian's")
def test_zsh_takes_the_script_as_the_completion_of_our_command(tmp_path: Path) -> None:
    """Through compinit, as a login shell does; and the function in it can be loaded."""
    (tmp_path / "_aura-ollama").write_text(aura("completion", "zsh").out, encoding="utf-8")
    script = """
        fpath=($1 $fpath)
        autoload -Uz compinit && compinit -u -d $1/dump
        print -r -- $_comps[aura-ollama]
        autoload +X -Uz _aura-ollama && print loaded
    """
    zsh = require(lambda: program("zsh", "zsh"))
    done = shell([zsh, "-f", "-c", script, "zsh", str(tmp_path)])
    assert (done.stdout.split(), done.stderr) == (["_aura-ollama", "loaded"], "")
    assert shell([zsh, "-n", str(tmp_path / "_aura-ollama")]).returncode == 0


@tied.linux("zsh and fish are Debian's")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("aura-ollama st", {"status", "start", "stop"}),
        ("aura-ollama completion p", {"powershell"}),
        ("aura-ollama token --pa", {"--path"}),
        ("aura-ollama settings --j", {"--json"}),
    ],
)
def test_fish_offers_what_may_follow(line: str, offered: set[str], tmp_path: Path) -> None:
    (tmp_path / "aura-ollama.fish").write_text(aura("completion", "fish").out, encoding="utf-8")
    fish = require(lambda: program("fish", "fish"))
    done = shell([fish, "--no-config", "-c", f"source {tmp_path}/aura-ollama.fish; complete -C '{line}'"])
    assert {each.split("\t")[0] for each in done.stdout.splitlines()} == offered, done.stderr


def shell(command: list[str]) -> subprocess.CompletedProcess[str]:
    """What a shell did with that."""
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE, check=False
    )


def test_a_shell_that_is_not_known_is_a_usage_error() -> None:
    said = aura("completion", "csh")
    assert said.code == exits.USAGE
    for shell in ("bash", "zsh", "fish", "powershell"):
        assert shell in said.err
