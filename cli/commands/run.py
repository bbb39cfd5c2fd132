"""`aura-ollama run`: the program itself. Its options are those of the program, so only completion reads them here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """The program's own options."""
    parser.add_argument("--headless", action="store_true", help="run the sidecar alone, without a tray")
    parser.add_argument("--host", help="IP address; beyond loopback only with requireToken")
    parser.add_argument("--port", help="port, 0 for any free one")
    parser.add_argument("--verbose", action="store_true", help="log every call")
    parser.add_argument("--rotate-token", action="store_true", help="make a new token, and end; the old one is void")
    parser.add_argument("--version", action="store_true", help="print the version, and end")


def run(options: argparse.Namespace) -> int:
    """Never called: `cli.__main__` starts the program."""
    raise NotImplementedError
