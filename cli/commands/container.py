"""`aura-ollama container create`: makes a container for Ollama, after it has said what it will do and was told yes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cli import exits, output
from cli.client import Failed
from core.errors import ConfigError
from core.text import on_one_line

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """What to make."""
    parser.add_argument("action", choices=("create",), help="create: make a container, and do not start it")
    parser.add_argument("--name", default="ollama", help="its name (default: ollama)")
    parser.add_argument("--port", type=int, default=11434, help="where it is published on loopback (default: 11434)")
    parser.add_argument("--volume", default="ollama", help="the volume that keeps the models (default: ollama)")
    parser.add_argument("--image", default="ollama/ollama", help="what it is made of (default: ollama/ollama)")
    parser.add_argument(
        "--gpu",
        choices=("auto", "none", "nvidia", "amd"),
        default="auto",
        help="the graphics processors that it gets (default: auto, those of this machine)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be made, and make nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(options: argparse.Namespace) -> int:
    """Say what would be made, ask, and make it."""
    # Brings the library for engines along, which no other command needs.
    from core import new_container

    gpu = {"auto": None, "none": None}.get(options.gpu, options.gpu)
    if options.gpu == "auto":
        gpu = new_container.gpu_here()
    wanted = new_container.Wanted(options.name, options.port, options.volume, gpu, options.image)
    try:
        engine = new_container.engine_for(wanted)
        for line in wanted.in_words(engine.place):
            output.note(on_one_line(line))
        if options.dry_run:
            output.note("Nothing was made.")
            return exits.DONE
        if not options.yes and not _agreed():
            raise Failed("Nothing was made.", "Say yes to the question, or give --yes.")
        new_container.make(wanted, engine)
    except ConfigError as error:
        raise Failed(error.message, error.action) from error
    owner = f"container:{wanted.name}"
    if options.json:
        output.as_json({"name": wanted.name, "owner": owner, "url": f"http://127.0.0.1:{wanted.port}"})
        return exits.DONE
    output.line(
        f"The container {wanted.name} was made. Control it from here with: aura-ollama settings set owner {owner}"
    )
    return exits.DONE


def _agreed() -> bool:
    if not sys.stdin or not sys.stdin.isatty():
        return False
    output.note("Make it? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
