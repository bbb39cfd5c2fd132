"""`aura-ollama open`: show the page, the logs or the data folder on the desktop; without a desktop, say where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli import exits, output
from cli.client import Failed
from cli.common import client_of, paths_of
from core.errors import ConfigError
from core.settings.paths import DEFAULT_INSTANCE
from core.text import on_one_line, spelt_out

if TYPE_CHECKING:
    import argparse

    from cli.client import Client

_NOT_FOUND = 404


def add_options(parser: argparse.ArgumentParser) -> None:
    """What to open."""
    parser.add_argument(
        "what",
        nargs="?",
        default="page",
        choices=("page", "logs", "data"),
        help="the page in the browser (default), the folder of Ollama's logs, or that of all data",
    )
    parser.add_argument("--print", action="store_true", help="print the address or the path, and open nothing")


def run(options: argparse.Namespace) -> int:
    """Open it. Prints its address or path if there is no desktop; fails if the desktop does not open it."""
    # It brings D-Bus and more along.
    from core.platform import desktop

    is_page = options.what == "page"
    place = _page(client_of(options)) if is_page else _folder(options)
    may_open = not options.print and desktop.has_screen()
    has_opened = may_open and (desktop.open_url(place) if is_page else desktop.open_path(place))
    if options.json:
        output.as_json({"what": options.what, "place": spelt_out(place), "opened": has_opened})
    elif not has_opened:
        output.line(on_one_line(place))
    if may_open and not has_opened:
        raise Failed(f"This desktop did not open the {options.what}.", "Open what is printed by hand.")
    return exits.DONE


def _page(client: Client) -> str:
    """The page's address; where a token is required it bears a ticket that lets one browser in."""
    try:
        return str(client.post("/api/app/page").json["url"])
    except Failed as error:
        if error.status != _NOT_FOUND:
            raise
        # A sidecar before the tickets.
        return f"{client.url}/"


def _folder(options: argparse.Namespace) -> str:
    paths = paths_of(options)
    try:
        folder = paths.data if options.what == "data" else paths.logs_of(options.instance or DEFAULT_INSTANCE)
    except ConfigError as error:
        raise Failed(error.message, error.action) from None
    if not folder.is_dir():
        raise Failed(f"{folder} does not exist yet.", "Start a sidecar first: `aura-ollama`.")
    return str(folder)
