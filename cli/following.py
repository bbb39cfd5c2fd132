"""A stream of the sidecar's that is followed for as long as a person wants, over breaks and restarts of the sidecar.

How it works: each event has an id, the reader's place. After a break the stream is opened anew with the id of the last
event that was given, at whatever address the sidecar has by then, and goes on after it; so nothing is lost or doubled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli import output
from cli.client import Client, Failed, NoSidecar
from cli.server_events import END

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.server_events import ServerEvent
    from core.settings.paths import Paths


def following(
    paths: Paths, path: str, place: str | None, away: Callable[[str | None], str | None], *, meanwhile: str
) -> Iterator[ServerEvent]:
    """The events of the stream `path` after `place`, for ever; what only tells a place is among them.

    Whenever the stream has ended, `away` is called with the place of the last event. It has about a second to itself,
    and returns the place to go on from, a later one if it got events elsewhere. That the sidecar is lost, what is done
    `meanwhile`, and that it is back, is said on stderr. What is held for stdout is written whenever nothing more comes.
    Raises ReaderGone if nobody reads it; NoSidecar or Failed only if there is no place to go on from.
    """
    is_lost = False
    while True:
        is_open = False
        try:
            for event in Client.find(paths).events(path, last_id=place, on_wait=output.catch_up):
                if is_lost:
                    output.note("The sidecar is back.")
                is_lost, is_open = False, True
                if event.event == END:
                    break
                place = event.id or place
                yield event
        except (NoSidecar, Failed) as error:
            if place is None:
                raise
            # A stream that breaks is not worth a word if the next one opens.
            if not is_open and not is_lost:
                output.note(f"{error.message} {meanwhile}")
                is_lost = True
        place = away(place)
