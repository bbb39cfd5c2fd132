"""`aura-ollama load`: have a model in memory, so that its first answer does not wait for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli import exits, output
from cli.client import escaped
from cli.common import client_of, route
from cli.parser import given
from core.text import on_one_line

if TYPE_CHECKING:
    import argparse

# The sidecar answers after 25 s at most.
_ANSWER_SECONDS = 60.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which one."""
    parser.add_argument("name", type=given, metavar="NAME", help="a model, as `aura-ollama models` calls it")


def run(options: argparse.Namespace) -> int:
    """Return once it is in memory. A load goes on if Ctrl-C ends the wait for it, which is said."""
    client = client_of(options)
    path = route(options, f"models/{escaped(options.name)}/load")
    try:
        # One that takes longer is answered without success; who asks again waits for the same load.
        while not (answer := client.post(path, seconds=_ANSWER_SECONDS)).json["success"]:
            output.note(answer.json["message"])
    except KeyboardInterrupt:
        output.note(f"Loading {options.name} goes on; `aura-ollama unload` undoes it.")
        raise
    if options.json:
        output.document(answer.body)
    else:
        output.line(on_one_line(f"{answer.json['message']}."))
    return exits.DONE
