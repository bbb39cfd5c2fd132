"""`completion`: a script for each shell, which knows every command and its options."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from cli import exits, table
from tests import tied
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


def test_a_shell_that_is_not_known_is_a_usage_error() -> None:
    said = aura("completion", "csh")
    assert said.code == exits.USAGE
    for shell in ("bash", "zsh", "fish", "powershell"):
        assert shell in said.err
