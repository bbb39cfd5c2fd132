"""Which image each state has, and that the images can be told apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import icons
from core.ollama.error_texts import NOT_REACHABLE, TIMED_OUT
from core.supervision.state import State
from tests.tray.test_menu import shown
from tray.menu import Look

LOOKS = {
    State.UNKNOWN: Look.BUSY,
    State.NOT_INSTALLED: Look.FAILED,
    State.STOPPED: Look.DOWN,
    State.STARTING: Look.BUSY,
    State.RUNNING: Look.UP,
    State.EXTERNAL: Look.EXTERNAL,
    State.STOPPING: Look.BUSY,
    State.BACKOFF: Look.BUSY,
    State.FAILED: Look.FAILED,
}


@pytest.mark.parametrize("state", State)
def test_each_state_has_its_look(state: State) -> None:
    assert shown(state).look is LOOKS[state]


def test_a_start_shows_from_its_first_moment() -> None:
    """No process of it is there yet."""
    assert shown(State.STARTING, pid=None).look is Look.BUSY


@pytest.mark.parametrize(("state", "look"), [(State.RUNNING, Look.UP), (State.EXTERNAL, Look.EXTERNAL)])
def test_green_is_for_an_ollama_that_answers_and_tells_whose_it_is(state: State, look: Look) -> None:
    assert shown(state).look is look
    assert shown(state, error=TIMED_OUT).look is Look.TROUBLE
    assert shown(state, error=NOT_REACHABLE).look is Look.DOWN


def _pixels(look: str, size: int) -> bytes:
    with Image.open(icons.path(look, size)) as image:
        assert image.size == (size, size)
        return image.convert("L").tobytes()


@pytest.mark.parametrize("size", icons.SIZES)
def test_the_looks_differ_without_colour_in_every_size(size: int) -> None:
    assert len({_pixels(look, size) for look in icons.LOOKS}) == len(icons.LOOKS)
    assert {look.value for look in Look} == set(icons.LOOKS)


def test_a_size_that_is_not_there_gets_the_next_larger_one() -> None:
    assert icons.path("up", 17).name == "up-20.png"
    assert icons.path("up", 999).name == "up-256.png"
    assert all(Path(icons.path(look, size)).exists() for look in icons.LOOKS for size in icons.SIZES)
