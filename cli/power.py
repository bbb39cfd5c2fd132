"""Start, stop and restart: one call, whose answer comes once it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli import exits, output
from cli.client import START_SECONDS
from cli.common import client_of, route
from core.text import on_one_line

if TYPE_CHECKING:
    import argparse


def change(options: argparse.Namespace, wish: str) -> int:
    """Post `start`, `stop` or `restart`, and print how it went. Raises NoSidecar or Failed."""
    answer = client_of(options).post(route(options, wish), seconds=START_SECONDS)
    if options.json:
        output.document(answer.body)
        return exits.DONE
    pid = answer.json.get("pid")
    output.line(on_one_line(f"{answer.json['message']} (pid {pid})." if pid else f"{answer.json['message']}."))
    return exits.DONE
