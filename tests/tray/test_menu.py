"""What the tray shows, for every state."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import icons
from core.client import Model
from core.errors import SpawnFailed
from core.state import State, Status
from tray.menu import SEPARATOR, TOOLTIP_CHARACTERS, Act, Facts, Item, Look, view

MODELS = (Model("llama3.2:3b", 2019393189), Model("tiny:latest", 470058))


def facts(status: Status, **changes: object) -> Facts:
    """Facts of a tray that is up."""
    known: dict[str, object] = {
        "api_url": "http://127.0.0.1:5006",
        "starts_at_login": False,
        "starts_on_launch": False,
        "has_logs": True,
        "is_desktop_refused": False,
    }
    return Facts(status, **known | changes)  # type: ignore[arg-type]


def status(state: State, **changes: object) -> Status:
    """A plausible status of that state."""
    up = {"pid": 42, "version": "0.9.3", "models": MODELS, "loaded": ("tiny:latest",)}
    plain: dict[str, object] = up if state in {State.RUNNING, State.EXTERNAL} else {"error": "Not reachable"}
    return Status(state=state, **plain | changes)  # type: ignore[arg-type]


def find(items: tuple[Item, ...], *starts: str) -> Item:
    """The item whose label begins so, one text a level."""
    (found,) = [item for item in items if item.label.startswith(starts[0])]
    return find(found.children, *starts[1:]) if starts[1:] else found


LOOKS = {
    State.UNKNOWN: Look.BUSY,
    State.NOT_INSTALLED: Look.DOWN,
    State.STOPPED: Look.DOWN,
    State.STARTING: Look.BUSY,
    State.RUNNING: Look.UP,
    State.EXTERNAL: Look.UP,
    State.STOPPING: Look.BUSY,
    State.BACKOFF: Look.BUSY,
    State.FAILED: Look.DOWN,
}
CAN = {
    State.UNKNOWN: "",
    State.NOT_INSTALLED: "",
    State.STOPPED: "start",
    State.STARTING: "stop",
    State.RUNNING: "stop restart",
    State.EXTERNAL: "",
    State.STOPPING: "start",
    State.BACKOFF: "start stop",
    State.FAILED: "start",
}


@pytest.mark.parametrize("state", State)
def test_each_state_has_its_look_and_only_what_can_act_is_enabled_and_the_rest_says_why(state: State) -> None:
    shown = view(facts(status(state)))
    assert shown.look is LOOKS[state]
    for label in ("Start", "Stop", "Restart"):
        (item,) = [item for item in shown.items if item.label.split(" (")[0] == label]
        assert item.enabled == (label.lower() in CAN[state].split())
        assert item.enabled == (item.label == label)
    assert shown.items[0].enabled is False
    assert shown.items[0].label in shown.tooltip


@pytest.mark.parametrize("state", [State.RUNNING, State.EXTERNAL])
def test_green_is_for_an_ollama_that_answers(state: State) -> None:
    assert view(facts(status(state))).look is Look.UP
    assert view(facts(status(state, error="Connection timeout"))).look is Look.TROUBLE
    assert view(facts(status(state, error="Not reachable"))).look is Look.DOWN


@pytest.mark.parametrize("act", [Act.START, Act.STOP, Act.RESTART])
@pytest.mark.parametrize("state", State)
def test_what_is_under_way_cannot_be_asked_for_again(state: State, act: Act) -> None:
    items = view(facts(status(state), is_pending=act)).items
    (item,) = [item for item in items if item.label.split(" (")[0].lower() == act]
    assert not item.enabled


def test_models_tell_size_and_whether_they_are_loaded_and_offer_to_unload() -> None:
    items = view(facts(status(State.RUNNING))).items
    assert find(items, "Models", "llama3.2:3b").label == "llama3.2:3b: 1.88 GB"
    command = find(items, "Models", "● tiny:latest", "Unload").command
    assert command is not None
    assert (command.act, command.argument) == (Act.UNLOAD, "tiny:latest")
    assert find(view(facts(status(State.RUNNING, models=()))).items, "Models", "none installed").enabled is False
    assert find(view(facts(status(State.STOPPED))).items, "Models", "Ollama is not running").enabled is False


def test_marks_follow_the_preferences_and_offers_come_only_when_there_is_cause() -> None:
    items = view(facts(status(State.STOPPED), starts_at_login=True, has_logs=False)).items
    assert find(items, "Start at login").checked is True
    assert find(items, "Start Ollama on launch").checked is False
    assert find(items, "Open logs (none yet)").enabled is False
    assert not [item for item in items if item.label == "Allow Aura desktop"]
    items = view(facts(status(State.STOPPED), is_desktop_refused=True)).items
    assert find(items, "Allow Aura desktop").enabled


def test_the_default_action_is_harmless() -> None:
    (default,) = [item for item in view(facts(status(State.RUNNING))).items if item.is_default]
    assert default.command is not None
    assert default.command.act is Act.SHOW_STATUS


def test_a_failure_and_a_port_holder_are_named() -> None:
    failed = status(State.FAILED, failure=SpawnFailed("Ollama ended with exit code 3: no such flux"))
    assert "no such flux" in view(facts(failed)).tooltip
    held = status(State.STOPPED, owner="nginx (pid 7)")
    assert "nginx (pid 7)" in view(facts(held)).tooltip


@given(st.sampled_from(State), st.text(max_size=300), st.text(max_size=300), st.lists(st.text(max_size=60), max_size=5))
def test_every_label_is_one_line_and_every_tooltip_fits(
    state: State, owner: str, words: str, loaded: list[str]
) -> None:
    shown = view(facts(status(state, owner=owner, failure=SpawnFailed(words), loaded=tuple(loaded))))
    assert len(shown.tooltip) <= TOOLTIP_CHARACTERS
    for item in shown.items:
        assert item is SEPARATOR or (item.label and "\n" not in item.label)


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
