"""What the tray shows, for every state."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import icons
from core.errors import SpawnFailed, StopFailed
from core.ollama.models import Model
from core.supervision.state import State, Status
from tests import tied
from tray.menu import LABEL_UNITS, MOST_MODELS, SEPARATOR, TOOLTIP_UNITS, Act, Facts, Item, Look, units, view

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
    State.NOT_INSTALLED: Look.FAILED,
    State.STOPPED: Look.DOWN,
    State.STARTING: Look.BUSY,
    State.RUNNING: Look.UP,
    State.EXTERNAL: Look.EXTERNAL,
    State.STOPPING: Look.BUSY,
    State.BACKOFF: Look.BUSY,
    State.FAILED: Look.FAILED,
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


@pytest.mark.parametrize(("state", "look"), [(State.RUNNING, Look.UP), (State.EXTERNAL, Look.EXTERNAL)])
def test_green_is_for_an_ollama_that_answers_and_tells_whose_it_is(state: State, look: Look) -> None:
    assert view(facts(status(state))).look is look
    assert view(facts(status(state, error="Connection timeout"))).look is Look.TROUBLE
    assert view(facts(status(state, error="Not reachable"))).look is Look.DOWN


@pytest.mark.parametrize(("state", "label"), [(State.STARTING, "Start ("), (State.STOPPING, "Stop (")])
def test_what_is_under_way_cannot_be_asked_for_again(state: State, label: str) -> None:
    assert not find(view(facts(status(state))).items, label).enabled


def test_models_tell_size_and_whether_they_are_loaded_and_offer_to_unload() -> None:
    items = view(facts(status(State.RUNNING))).items
    assert find(items, "Models", "llama3.2:3b").label == "llama3.2:3b: 1.88 GB"
    command = find(items, "Models", "● tiny:latest", "Unload").command
    assert command is not None
    assert (command.act, command.argument) == (Act.UNLOAD, "tiny:latest")
    assert (
        find(view(facts(status(State.RUNNING, models=(), loaded=()))).items, "Models", "none installed").enabled
        is False
    )
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


@pytest.mark.parametrize("state", [State.STOPPED, State.BACKOFF, State.FAILED])
def test_a_start_that_somebody_elses_port_would_refuse_is_not_offered(state: State) -> None:
    start = find(view(facts(status(state, owner="nginx (pid 7)"))).items, "Start (")
    assert (start.label, start.enabled) == ("Start (the port is held by nginx (pid 7))", False)


def test_an_address_that_is_none_of_ollamas_is_told_before_who_holds_its_port() -> None:
    wrong = status(State.STOPPED, owner="ollama (pid 7)", meant_url="http://127.0.0.1:11434")
    shown = view(facts(wrong))
    assert "ollamaUrl should be http://127.0.0.1:11434" in shown.tooltip
    start = find(shown.items, "Start (")
    assert (start.label, start.enabled) == ("Start (ollamaUrl should be http://127.0.0.1:11434)", False)


def test_a_start_shows_from_its_first_moment_and_can_be_called_off() -> None:
    """No process of it is there yet."""
    shown = view(facts(status(State.STARTING, pid=None)))
    assert shown.look is Look.BUSY
    assert shown.items[0].label == "Ollama is starting…"
    assert find(shown.items, "Stop").enabled


def test_an_ollama_that_could_not_be_stopped_says_so() -> None:
    line = view(facts(status(State.RUNNING, failure=StopFailed("It outlived a kill.")))).items[0].label
    assert line == "Ollama 0.9.3 is still running (pid 42): Failed to Stop Ollama"


def test_a_problem_with_the_settings_is_shown_below_the_status() -> None:
    line = view(facts(status(State.RUNNING, settings_problem="line 3: no comma"))).items[1]
    assert (line.label, line.enabled) == ("Settings: line 3: no comma", False)


def test_what_is_loaded_comes_first_also_if_it_is_not_listed_and_a_long_list_ends() -> None:
    many = tuple(Model(f"m{number}", 1) for number in range(100))
    models = find(view(facts(status(State.RUNNING, models=many, loaded=("m99", "gone")))).items, "Models").children
    assert [item.label for item in models[:3]] == ["● m99: 1 B", "● gone", "m0: 1 B"]
    assert len(models) == MOST_MODELS + 1
    assert models[-1].label == "and 61 more"


def test_lists_and_texts_of_any_length_make_a_short_menu_at_once() -> None:
    """What is foreign is bounded where it is decoded; this holds whatever comes through."""
    models = tuple(Model(f"m{number}", 10**309) for number in range(10_000))
    loaded = tuple(model.name for model in models)
    long = "x " * 5_000_000
    told = status(State.RUNNING, models=models, loaded=loaded, version=long, owner=long, settings_problem=long)
    began = time.perf_counter()
    shown = view(facts(told))
    assert time.perf_counter() - began < tied.seconds(0.5)
    items = find(shown.items, "Models").children
    assert [items[0].label, items[-1].label] == ["● m0: 8192 PB", "and 9960 more"]
    assert len(items) == MOST_MODELS + 1
    assert units(shown.tooltip) <= TOOLTIP_UNITS


def test_a_hanging_ollama_is_not_asked_to_unload() -> None:
    items = view(facts(status(State.RUNNING, error="Connection timeout"))).items
    assert find(items, "Models", "● tiny", "Unload (Ollama does not answer)").enabled is False


@given(st.sampled_from(State), st.text(max_size=300), st.lists(st.text(), max_size=5))
def test_whatever_comes_from_outside_every_text_is_one_printable_line_that_windows_takes(
    state: State, words: str, names: list[str]
) -> None:
    models = tuple(Model(name, 5) for name in names)
    told = status(state, owner=words, version=words, failure=SpawnFailed(words), settings_problem=words, models=models)
    for loaded in ((), tuple(names)):
        shown = view(facts(replace(told, loaded=loaded)))
        assert shown.tooltip.isprintable()
        assert units(shown.tooltip) <= TOOLTIP_UNITS
        for item in shown.items:
            for line in (item, *item.children):
                assert line is SEPARATOR or line.label
                assert line.label.isprintable()
                assert units(line.label) <= LABEL_UNITS


def test_a_cut_goes_around_a_sign_and_not_through_it() -> None:
    shown = view(facts(status(State.RUNNING, version="🦙" * 100)))
    assert shown.tooltip.endswith("🦙…")
    assert units(shown.tooltip) in (TOOLTIP_UNITS - 1, TOOLTIP_UNITS)


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
