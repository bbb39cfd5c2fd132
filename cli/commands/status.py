"""`aura-ollama status`. To be fast it imports as little as possible; tests/cli/test_imports.py counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli import exits, output
from cli.common import client_of, route
from core.text import on_one_line

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """It has none of its own."""


def run(options: argparse.Namespace) -> int:
    """Print what the sidecar knows. NOT_RUNNING if it knows of no Ollama that runs."""
    answer = client_of(options).get(route(options, "status"))
    if options.json:
        output.document(answer.body)
    else:
        _show(answer.json)
    return exits.DONE if answer.json["running"] else exits.NOT_RUNNING


def _show(status: dict[str, Any]) -> None:
    output.line(on_one_line(f"Ollama is {status['state']}."))
