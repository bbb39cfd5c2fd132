"""Lines of a stream, cut wherever, and the events that they hold."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from api.http.streams import framed, place_only
from cli.server_events import PLACE, ServerEvent, server_events

FIELD = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), max_size=20)


def events(text: str) -> list[ServerEvent]:
    return list(server_events(io.BytesIO(text.encode())))


def test_an_event_has_its_type_its_data_and_the_last_place() -> None:
    text = 'retry: 1000\n\n:\n\nid: a-1\nevent: job\ndata: {"x": 1}\n\ndata: line\n\nid: a-7\n\nevent: gap\ndata: g\n\n'
    found = events(text)
    assert found == [
        ServerEvent("a-1", "job", '{"x": 1}'),
        ServerEvent("a-1", "message", "line"),
        ServerEvent("a-7", PLACE, ""),
        ServerEvent("a-7", "gap", "g"),
    ]
    assert found[0].body == {"x": 1}
    assert found[1].body == {}


def test_data_over_several_lines_and_other_line_ends_are_as_the_specification_has_them() -> None:
    assert events("data: a\r\ndata:  b\r\n\r\n") == [ServerEvent("", "message", "a\n b")]


@given(st.lists(st.tuples(FIELD, st.sampled_from(["", "20261128-010203.0.5", "ab12-7"])), max_size=6), st.data())
def test_what_is_cut_in_two_comes_to_a_reader_that_returns_and_never_twice(
    sent: list[tuple[str, str]], data: st.DataObject
) -> None:
    """However few bytes come, the events are the first ones of all, whole."""
    stream = "".join(framed(text, id=id or None) + (place_only(id) if id else "") for text, id in sent)
    raw = stream.encode()
    whole = list(server_events(io.BytesIO(raw)))
    assert [event.data for event in whole if event.event != PLACE] == [text for text, _ in sent]
    cut = data.draw(st.integers(0, len(raw)))
    found = list(server_events(io.BytesIO(raw[:cut])))
    assert found == whole[: len(found)]
    assert cut < len(raw) or found == whole
