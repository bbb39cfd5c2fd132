"""`aura-ollama ps`: which models are in memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cli import exits, output
from cli.common import client_of
from cli.moments import until

if TYPE_CHECKING:
    import argparse

_HEADERS = ("NAME", "SIZE", "VRAM", "UNTIL", "CONTEXT", "INSTANCE")


def add_options(parser: argparse.ArgumentParser) -> None:
    """It has none of its own."""


def run(options: argparse.Namespace) -> int:
    """Print them, of all instances or of the one that is asked for. FAILED if an Ollama does not tell."""
    body = client_of(options).get("/api/ollama/models/loaded").json
    found, error = body["models"], body.get("error")
    if options.instance is not None:
        found = [model for model in found if model["instance"] == options.instance]
    if options.json:
        output.document(json.dumps({**body, "models": found, "count": len(found)}).encode())
    elif found:
        rows = [
            (
                model["name"],
                model["size"],
                model["sizeVram"],
                until(model["expiresAt"]),
                str(model["context"] or ""),
                model["instance"],
            )
            for model in found
        ]
        output.table(_HEADERS, rows, right=[1, 2, 4])
    elif not error:
        output.note("No model is in memory.")
    if error:
        output.complain(error)
    return exits.FAILED if error else exits.DONE
