"""`aura-ollama instances`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli import exits, output
from cli.common import client_of

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """It has none of its own."""


def run(options: argparse.Namespace) -> int:
    """List the instances that the settings name, or the one that `--instance` names."""
    answer = client_of(options).get("/api/ollama/instances")
    found = [each for each in answer.json["instances"] if options.instance in (None, each["id"])]
    if options.json:
        output.document(answer.body) if options.instance is None else output.as_json({"instances": found})
        return exits.DONE
    output.table(
        ("Instance", "State", "Address", "Process", "Version", "Model"),
        [
            (
                each["id"],
                each["state"],
                each["baseUrl"],
                str(each["pid"] or ""),
                each["version"] or "",
                each["model"] or "",
            )
            for each in found
        ],
        right=(3,),
    )
    return exits.DONE
