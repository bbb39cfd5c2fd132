"""`aura-ollama events`: what has happened since the sidecar began, the last 1,000 events; with -f what happens now."""

from __future__ import annotations

import argparse
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from cli import exits, output
from cli.common import client_of, paths_of
from cli.following import following
from cli.moments import stamp
from cli.server_events import END, PLACE
from core.text import on_one_line, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.client import Client
    from cli.server_events import ServerEvent

TYPES = ("status", "models", "job", "settings", "log", "metrics")
_PATH = "/api/ollama/events"
_AWAY_SECONDS = 1.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which ones, and whether to go on."""
    parser.add_argument("-f", "--follow", action="store_true", help="print events as they happen, until Ctrl-C")
    parser.add_argument(
        "--types",
        type=_types,
        metavar="A,B",
        help=f"only these: {', '.join(TYPES)} (default: all but metrics, of which there is one a second)",
    )


def _types(text: str) -> str:
    for name in text.split(","):
        if name not in TYPES:
            raise argparse.ArgumentTypeError(f"{name!r} is no type of event; there are {', '.join(TYPES)}")
    return text


def run(options: argparse.Namespace) -> int:
    """Print one a line. Raises NoSidecar or Failed, but not once events are followed."""
    types = f"types={options.types}" if options.types else ""
    events: Iterator[ServerEvent]
    client = client_of(options)
    if options.follow:
        events = following(
            paths_of(options), f"{_PATH}?{types}", None, _away, meanwhile="Waiting until it is back; Ctrl-C ends this."
        )
    else:
        events = _history(client, types)
    for event in events:
        body = event.body
        if options.instance not in (None, body.get("instance") or options.instance):
            continue
        if event.event == "gap":
            lost = body.get("lost")
            output.note(f"{'Events' if lost is None else f'{lost} events'} are missing here.")
        elif event.event in TYPES:
            if options.json:
                output.as_json(body)
            else:
                output.line(_line(event.event, body))
    return exits.DONE


def _away(place: str | None) -> str | None:
    time.sleep(_AWAY_SECONDS)
    return place


def _history(client: Client, types: str) -> Iterator[ServerEvent]:
    """The events that are kept, from the first to the newest one of this moment."""
    with closing(client.events(f"{_PATH}?{types}")) as events:
        hello = next(event.body for event in events if event.event == "hello")
    epoch, newest = str(hello["epoch"]), _number(str(hello["id"]))
    if not newest:
        return
    with closing(client.events(f"{_PATH}?{types}", last_id=f"{epoch}-0")) as events:
        for event in events:
            if event.event == END:
                return
            # The place of one that was asked for only comes with the next event, which may take long.
            if event.event != PLACE:
                yield event
            if event.id and _number(event.id) >= newest:
                return


def _number(id: str) -> int:
    return int(id.rpartition("-")[2])


def _line(type: str, body: dict[str, Any]) -> str:
    """`2026-11-28 02:30:28 status default running, pid 4711`."""
    parts = [stamp(body.get("at")), output.styled(f"{type:8}", "bold"), body.get("instance") or "-", _words(type, body)]
    return " ".join(on_one_line(str(part)) if part is not parts[1] else part for part in parts)


def _words(type: str, body: dict[str, Any]) -> str:
    match type:
        case "status":
            pid = f", pid {body['pid']}" if body.get("pid") else ""
            reason = f": {body['reason']}" if body.get("reason") else ""
            return f"{body['state']}{pid}{reason}"
        case "models":
            loaded = ", ".join(body.get("loaded") or []) or "none"
            return f"{body['count']} installed, in memory: {loaded}"
        case "job":
            job = body["job"]
            return f"pull of {job['model']}: {job['message']}"
        case "settings":
            changed = ", ".join(body.get("changed") or []) or "nothing"
            error = f"; {body['settingsError']}" if body.get("settingsError") else ""
            return f"changed: {changed}{error}"
        case "log":
            return f"a new log: {body['file']}"
        case _:
            cpu, memory = body.get("cpu"), body.get("memoryBytes")
            shown = [body["state"]]
            shown += [] if cpu is None else [f"{cpu * 100:.0f} % of a processor"]
            shown += [] if memory is None else [f"{size_text(memory)} of memory"]
            return ", ".join(shown)
