"""`aura-ollama unload`: take a model out of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli import exits, output
from cli.client import escaped
from cli.common import client_of, route
from cli.parser import given
from core.text import on_one_line

if TYPE_CHECKING:
    import argparse

_ANSWER_SECONDS = 30.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which one."""
    parser.add_argument("name", type=given, metavar="NAME", help="a model, as `aura-ollama ps` calls it")


def run(options: argparse.Namespace) -> int:
    """Take it out. FAILED while it is at work: it goes once that is done, as the words say."""
    path = route(options, f"models/{escaped(options.name)}/unload")
    answer = client_of(options).post(path, seconds=_ANSWER_SECONDS)
    message, is_done = answer.json["message"], answer.json["success"]
    if options.json:
        output.document(answer.body)
    elif is_done:
        output.line(on_one_line(f"{message}."))
    if not is_done:
        output.complain(message)
    return exits.DONE if is_done else exits.FAILED
