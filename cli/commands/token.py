"""`aura-ollama token`: the secret that lets a program in. It is read from its file, so that no sidecar is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli import exits, output
from cli.client import Failed
from cli.common import paths_of
from core import token
from core.text import on_one_line, spelt_out

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Where it is, instead of what it is."""
    parser.add_argument("--path", action="store_true", help="print the path of its file instead")


def run(options: argparse.Namespace) -> int:
    """Print the token, or the path of its file."""
    run_dir = paths_of(options).run
    path = run_dir / "token"
    if options.path:
        output.as_json({"path": spelt_out(str(path))}) if options.json else output.line(on_one_line(str(path)))
        return exits.DONE
    try:
        found = token.read(run_dir)
    except OSError as error:
        raise Failed(
            f"{path} cannot be read: {error.strerror or error}.", "Make it yours alone, or restart aura-ollama."
        ) from None
    if found is None:
        raise Failed(f"There is no token in {path}.", "A sidecar makes one when it starts: `aura-ollama`.")
    output.as_json({"token": found}) if options.json else output.line(found)
    return exits.DONE
