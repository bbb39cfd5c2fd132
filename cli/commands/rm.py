"""`aura-ollama rm`: delete installed models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli import exits, output
from cli.ask import can_ask, confirmed
from cli.client import Failed, escaped
from cli.common import client_of, route
from cli.parser import Misused, given
from core.text import on_one_line

if TYPE_CHECKING:
    import argparse

_DELETE_SECONDS = 90.0
_IN_USE = "model_in_use"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which ones, and what is not asked."""
    parser.add_argument(
        "names", nargs="+", type=given, metavar="NAME", help="a model, as `aura-ollama models` calls it"
    )
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--force", action="store_true", help="also if it is in memory, from which it is taken first")


def run(options: argparse.Namespace) -> int:
    """Delete one after the other, after a question. FAILED if the answer is no.

    Raises Misused without `--yes` where nobody can be asked, and Failed with the sidecar's words if one is not deleted;
    the ones after it are not tried then.
    """
    client = client_of(options)
    if not options.yes:
        if not can_ask():
            raise Misused("there is no terminal to ask at whether to delete; add --yes to delete without a question")
        shown = ", ".join(map(on_one_line, options.names))
        if not confirmed(f"Delete {shown}?", otherwise=False):
            output.line("Nothing was deleted.")
            return exits.FAILED
    for name in options.names:
        path = route(options, f"models/{escaped(name)}") + ("?force=true" if options.force else "")
        try:
            answer = client.call("DELETE", path, seconds=_DELETE_SECONDS)
        except Failed as error:
            if error.code == _IN_USE:
                # The API's words speak of its own parameter.
                error.action = "Unload it first, or add --force."
            raise
        if options.json:
            output.document(answer.body)
        else:
            output.line(on_one_line(f"{answer.json['message']}."))
    return exits.DONE
