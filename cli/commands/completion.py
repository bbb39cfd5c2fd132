"""`aura-ollama completion SHELL`: the script by which a shell completes our commands and options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli import exits, output
from cli.parser import whole_parser
from cli.table import COMMANDS

if TYPE_CHECKING:
    import argparse

_HOW = """\
to use it at once, and from the next shell on:
  bash        source <(aura-ollama completion bash)
  zsh         aura-ollama completion zsh > "${fpath[1]}/_aura-ollama"
  fish        aura-ollama completion fish > ~/.config/fish/completions/aura-ollama.fish
  powershell  aura-ollama completion powershell | Out-String | Invoke-Expression
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which shell."""
    import argparse

    parser.add_argument("shell", choices=("bash", "zsh", "fish", "powershell"))
    parser.epilog = _HOW
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    script = shtab.complete(whole_parser(COMMANDS), options.shell)
    if options.json:
        output.as_json({"shell": options.shell, "script": script})
    else:
        output.line(script.rstrip("\n"))
    return exits.DONE
