"""`aura-ollama logs`: the last lines of Ollama's log, and with -f new ones as they are written.

Without a sidecar they are read from the files. So are those that are written while a sidecar that was followed is away:
a place in the log has the same name in its stream and in the files, so either goes on where the other stopped.
"""

from __future__ import annotations

import argparse
import re
import time
from typing import TYPE_CHECKING, Any

from cli import exits, output
from cli.client import Client, Failed, NoSidecar
from cli.common import paths_of, route
from cli.following import following
from core.errors import ConfigError, os_error_in_words
from core.logs import places, tail
from core.logs.segments import PREFIX_BYTES
from core.settings.paths import DEFAULT_INSTANCE
from core.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.server_events import ServerEvent
    from core.settings.paths import Paths

_DEFAULT_LINES = 200
_MOST_LINES = 10_000
_LOOK_AGAIN_SECONDS = 0.1
_AWAY_SECONDS = 1.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """How many lines, and whether to go on."""
    parser.add_argument(
        "-n",
        "--lines",
        type=_count,
        default=_DEFAULT_LINES,
        metavar="N",
        help=f"how many of the last lines, 0 to {_MOST_LINES} (default: {_DEFAULT_LINES})",
    )
    parser.add_argument("-f", "--follow", action="store_true", help="then print new lines as they come, until Ctrl-C")


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= _MOST_LINES:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of lines; give one from 0 to {_MOST_LINES}")


def run(options: argparse.Namespace) -> int:
    """Print them. NO_SIDECAR, or FAILED if it does not answer, with the lines from the files. Raises Failed."""
    paths = paths_of(options)
    try:
        folder = str(paths.logs_of(options.instance or DEFAULT_INSTANCE))
    except ConfigError as error:
        raise Failed(error.message, error.action, code=error.code) from None
    if options.follow:
        return _follow(options, paths, folder)
    body, code = _last_lines(options, paths, folder)
    if options.json:
        output.as_json(body)
    elif not body["error"]:
        for line in body["logs"]:
            output.line(harmless(line))
        if not body["logs"] and options.lines:
            output.note("There is no line yet.")
    if body["error"]:
        output.complain(body["error"])
        return exits.FAILED
    return code


def _last_lines(options: argparse.Namespace, paths: Paths, folder: str) -> tuple[dict[str, Any], int]:
    """The body of the sidecar's answer, and the exit code.

    If there is no sidecar, or it does not answer, it is a body like that, made of the files; the code tells.
    """
    code = exits.DONE
    try:
        answer = Client.find(paths).get(f"{route(options, 'logs')}?maxLines={options.lines or 1}")
        lines, error = answer.json["logs"], answer.json.get("error")
    except (NoSidecar, Failed) as failure:
        if isinstance(failure, Failed) and failure.status is not None:
            raise
        code = exits.NO_SIDECAR if isinstance(failure, NoSidecar) else exits.FAILED
        output.note(f"{failure.message} These lines are from the files in {folder}.")
        try:
            lines, error = tail.tail(folder, options.lines or 1), None
        except OSError as reason:
            lines, error = [], os_error_in_words(reason)
    lines = lines if options.lines else []
    return {"logs": lines, "totalLines": len(lines), "error": error}, code


def _follow(options: argparse.Namespace, paths: Paths, folder: str) -> int:
    """Print the last lines, then new ones, until Ctrl-C or until nobody reads them."""
    log = _Log(folder, is_json=options.json)
    path = f"{route(options, 'logs/stream')}?from={options.lines}"
    meanwhile = f"Lines are read from {folder}."
    try:
        log.print_all(following(paths, path, None, log.read_files, meanwhile=meanwhile))
    except (NoSidecar, Failed) as failure:
        if isinstance(failure, Failed) and failure.status is not None:
            raise
        try:
            place = str(places.start_of_last(folder, options.lines))
        except OSError as error:
            raise Failed(os_error_in_words(error)) from None
        log.print_all(following(paths, path, place, log.read_files, meanwhile=meanwhile))
    return exits.DONE


class _Log:
    """Prints lines as they come, from either side."""

    def __init__(self, folder: str, *, is_json: bool) -> None:
        self._folder = folder
        self._is_json = is_json

    def print_all(self, events: Iterator[ServerEvent]) -> None:
        """Print the lines of a stream."""
        for event in events:
            if event.event == "message":
                self._print(event.data)
            elif event.event == "gap":
                output.note(str(event.body.get("message")))

    def read_files(self, place: str | None) -> str | None:
        """Print what the files get within a second; returns the place after it. See `following`."""
        try:
            at = places.Place.parse(place or "")
        except ValueError:
            # Its owner keeps this log elsewhere, by other places.
            time.sleep(_AWAY_SECONDS)
            return place
        until = time.monotonic() + _AWAY_SECONDS
        while time.monotonic() < until:
            try:
                block = places.following(self._folder, at)
            except OSError:
                block = None
            if block is None:
                output.catch_up()
                time.sleep(_LOOK_AGAIN_SECONDS)
                continue
            if block.has_gap:
                output.note("Lines are missing here: their file was deleted.")
            for line in block.data.decode("utf-8", "replace").split("\n")[:-1]:
                self._print(line)
            at = block.end
        return str(at)

    def _print(self, line: str) -> None:
        if self._is_json:
            output.as_json(_parts(line))
        else:
            output.line(harmless(line))


def harmless(line: str) -> str:
    """A line of a log that does nothing to a terminal but to be shown there. Tabs stay."""
    return "\t".join(map(on_one_line, line.split("\t")))


def _parts(line: str) -> dict[str, str | None]:
    """Stream, time and message of a line; the message alone of what is no line of ours."""
    prefix, message = line[:PREFIX_BYTES], line[PREFIX_BYTES:]
    found = re.fullmatch(r"\[(OUT|ERR|SYS)\] (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) ", prefix, re.ASCII)
    if found is None:
        return {"at": None, "stream": None, "message": line}
    return {"at": f"{found[2]}T{found[3]}Z", "stream": found[1], "message": message}
