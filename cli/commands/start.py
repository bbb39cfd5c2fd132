"""`aura-ollama start`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.power import change

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """It has none of its own."""


def run(options: argparse.Namespace) -> int:
    """Post the wish, and wait until it is done."""
    return change(options, "start")
