"""`aura-ollama models`: what is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli import exits, output
from cli.common import client_of, route
from cli.moments import since

if TYPE_CHECKING:
    import argparse

_HEADERS = ("NAME", "SIZE", "MODIFIED", "PARAMETERS", "QUANTIZATION")


def add_options(parser: argparse.ArgumentParser) -> None:
    """It has none of its own."""


def run(options: argparse.Namespace) -> int:
    """Print them. FAILED if Ollama does not list them; what it listed last is printed all the same."""
    answer = client_of(options).get(route(options, "models"))
    found, error = answer.json["models"], answer.json.get("error")
    if options.json:
        output.document(answer.body)
    elif found:
        rows = [
            (
                model["name"],
                model["size"],
                since(model["modifiedAt"]),
                model["parameterSize"] or "",
                model["quantizationLevel"] or "",
            )
            for model in found
        ]
        output.table(_HEADERS, rows, right=[1])
    elif not error:
        output.note("No model is installed yet. `aura-ollama pull NAME` gets one, such as llama3.2:3b.")
    if error:
        output.complain(error)
    return exits.FAILED if error else exits.DONE
