"""What the tray shows, for every state."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Crashed, CrashLoop, PortInUse, SpawnFailed, StopFailed
from core.jobs.job import Job, JobState
from core.ollama.error_texts import NOT_REACHABLE, TIMED_OUT
from core.ollama.models import Model
from core.supervision.state import State, Status
from core.supervision.told import headline
from core.text import cut_name, isolated, shorten, units
from tests import tied
from tray.menu import (
    LABEL_UNITS,
    MOST_MODELS,
    SEPARATOR,
    TOOLTIP_UNITS,
    Act,
    Command,
    Facts,
    Item,
    Look,
    View,
    sentence,
    view,
)
from tray.menu.items import find

MODELS = (Model("llama3.2:3b", 2019393189), Model("tiny:latest", 470058))
MARKS = "\u200e\u2068\u2069"
ARABIC = "نموذج"
ALIKE_UNITS = 2 * LABEL_UNITS


def facts(status: Status, **changes: object) -> Facts:
    """Facts of a tray that is up."""
    known: dict[str, object] = {"api_url": "http://127.0.0.1:5006", "has_logs": True}
    return Facts(status, **known | changes)  # type: ignore[arg-type]


def status(state: State, **changes: object) -> Status:
    """A plausible status of that state."""
    up = {"pid": 42, "version": "0.9.3", "models": MODELS, "loaded": ("tiny:latest",)}
    plain: dict[str, object] = up if state in {State.RUNNING, State.EXTERNAL} else {"error": NOT_REACHABLE}
    return Status(state=state, url="http://127.0.0.1:11434", **plain | changes)  # type: ignore[arg-type]


def shown(state: State, **changes: object) -> View:
    """The view of a plausible status of that state."""
    return view(facts(status(state, **changes)))


def names(items: tuple[Item, ...]) -> list[str]:
    """What these items are known by, without the separators."""
    return [item.name for item in items if item is not SEPARATOR]


def everything(items: tuple[Item, ...]) -> list[Item]:
    """All items, those of the submenus too."""
    return [each for item in items for each in (item, *everything(item.children))]


WISHES = {
    State.UNKNOWN: [("Start Ollama", Act.START, False)],
    State.NOT_INSTALLED: [("Get Ollama…", Act.GET_OLLAMA, True)],
    State.STOPPED: [("Start Ollama", Act.START, True)],
    State.STARTING: [("Stop Ollama", Act.STOP, True)],
    State.RUNNING: [("Stop Ollama", Act.STOP, True), ("Restart Ollama", Act.RESTART, True)],
    State.EXTERNAL: [("How to stop it…", Act.TELL_HOW_TO_STOP, True)],
    State.STOPPING: [("Start Ollama", Act.START, True)],
    State.BACKOFF: [("Start Ollama now", Act.START, True), ("Leave it stopped", Act.STOP, True)],
    State.FAILED: [("Start Ollama", Act.START, True)],
}


@pytest.mark.parametrize("state", State)
def test_each_state_offers_what_can_be_done_then_in_one_entry_that_changes(state: State) -> None:
    items = [item for item in shown(state).items if item.name in {"power", "restart"}]
    assert [(item.label, item.command, item.enabled) for item in items] == [
        (label, Command(act), enabled) for label, act, enabled in WISHES[state]
    ]


@pytest.mark.parametrize(
    ("told", "label"),
    [
        (status(State.NOT_INSTALLED, settings_problem="settings.json is torn"), "Start Ollama"),
        (status(State.STOPPED, is_startable=False), "Start Ollama"),
        (status(State.FAILED, is_startable=False), "Start Ollama (only over there)"),
    ],
)
def test_ollama_is_not_offered_to_be_got_where_that_would_not_help(told: Status, label: str) -> None:
    """Nobody knows what settings say that cannot be read, and one on another machine is not got for this one."""
    items = view(facts(told)).items
    assert [(item.label, item.enabled) for item in items if item.name == "power"] == [(label, False)]
    # What is wrong with the settings is told once.
    assert sum("torn" in item.label for item in items) == (1 if told.settings_problem else 0)


@pytest.mark.parametrize("state", [State.STOPPED, State.STARTING, State.RUNNING, State.STOPPING, State.EXTERNAL])
def test_where_nothing_is_wrong_there_are_few_entries_and_none_of_them_twice(state: State) -> None:
    items = shown(state).items
    assert [name for name in names(items) if name not in {"power", "restart"}] == [
        *("status", "dashboard", "models", "open", "copy ollama", "copy sidecar", "choose"),
        *("login", "launch", "show", "about", "quit"),
    ]
    labels = [item.label for item in items if item is not SEPARATOR]
    assert len(labels) == len(set(labels))


HEADLINES = {
    "Looking for Ollama…": status(State.UNKNOWN),
    "Ollama is not installed": status(State.NOT_INSTALLED),
    "Ollama was not found where the settings say": status(State.NOT_INSTALLED, path_problem="Path does not exist"),
    "The settings cannot be used": status(State.NOT_INSTALLED, settings_problem="settings.json is torn"),
    "No Ollama answers where the settings say": status(State.STOPPED, is_startable=False, cause="No such name."),
    "Ollama is not running": status(State.STOPPED, owner="nginx (pid 7)"),
    "Ollama is starting…": status(State.STARTING, pid=None, waits_for="It is looking for graphics cards."),
    "Ollama is stopping…": status(State.STOPPING),
    "Ollama crashed and will be started again": status(State.BACKOFF, failure=Crashed("Ollama was ended by SIGKILL")),
    "Ollama crashed": status(State.FAILED, failure=Crashed("Ollama was ended by SIGKILL")),
    "Ollama keeps crashing": status(State.FAILED, failure=CrashLoop("Given up after 6 crashes.")),
    "Ollama could not be started": status(State.FAILED, failure=SpawnFailed("no such flux")),
    "Ollama 0.9.3 is running": status(State.RUNNING),
    "Ollama 0.9.3 is still running": status(State.RUNNING, failure=StopFailed("It outlived a kill.")),
    "Ollama 0.9.3 does not answer": status(State.RUNNING, error=TIMED_OUT),
    "Ollama 0.9.3 has ended": status(State.RUNNING, error=NOT_REACHABLE),
    "Ollama 0.9.3 generates nothing": status(State.RUNNING, stuck="It makes no token."),
    "Another program's Ollama 0.9.3 is running": status(State.EXTERNAL),
}


@pytest.mark.parametrize("words", HEADLINES)
def test_the_headline_is_a_few_words_and_bears_no_process_number(words: str) -> None:
    told = view(facts(HEADLINES[words]))
    assert (told.find("status").label, told.find("status").enabled) == (words, False)
    assert told.tooltip.startswith(f"Aura Ollama: {words}")
    assert not any(twice in told.tooltip for twice in ("..", "…."))
    assert not any("pid" in item.label for item in everything(told.items))


DETAILS = {
    "Path does not exist": status(State.NOT_INSTALLED, path_problem="Path does not exist"),
    "The name gpu-box is not known.": status(State.STOPPED, is_startable=False, cause="The name gpu-box is not known."),
    "settings.json is torn": status(State.NOT_INSTALLED, settings_problem="settings.json is torn"),
    "Its port is held by nginx": status(State.STOPPED, owner="nginx (pid 7)"),
    "Its port is held by nginx (user bob)": status(State.STOPPED, owner="nginx (pid 7, user bob)"),
    "ollamaUrl should be http://127.0.0.1:11434": status(
        State.STOPPED, owner="ollama (pid 7)", meant_url="http://127.0.0.1:11434"
    ),
    "It is looking for graphics cards.": status(State.STARTING, waits_for="It is looking for graphics cards."),
    "Error: mkdir /dev/null: not a directory": status(
        State.FAILED, failure=SpawnFailed("Ollama ended with exit code 1: Error: mkdir /dev/null: not a directory")
    ),
    "Ollama was ended by SIGKILL": status(State.BACKOFF, failure=Crashed("Ollama was ended by SIGKILL")),
    "It outlived a kill.": status(State.RUNNING, failure=StopFailed("It outlived a kill.")),
    "HTTP 500": status(State.RUNNING, error="HTTP 500"),
    "x x x x x x x x x x x x x x x x x x x x x x x x x…": status(State.FAILED, failure=SpawnFailed("x " * 500)),
}


@pytest.mark.parametrize("words", DETAILS)
def test_what_is_longer_has_a_line_of_its_own_that_leads_to_the_whole_of_it(words: str) -> None:
    told = view(facts(DETAILS[words])).find("detail")
    assert (told.label, told.command, told.enabled) == (words, Command(Act.SHOW_STATUS), True)


def test_last_words_stand_for_the_cause_unless_ollama_was_killed() -> None:
    words = "llama_context: graph nodes = 74"
    for message, told in {
        f"Ollama was ended by SIGKILL: {words}": "Ollama was ended by SIGKILL",
        f"Ollama was ended by SIGABRT: {words}": words,
    }.items():
        crashed = status(State.FAILED, failure=Crashed(message))
        assert view(facts(crashed)).find("detail").label == told
        # The whole of it is a click away.
        assert words in sentence(crashed)


def test_where_the_headline_says_all_there_is_no_second_line() -> None:
    hanging = status(State.RUNNING, error=TIMED_OUT, cause="It did not answer in time.")
    for calm in (status(State.RUNNING), hanging, status(State.EXTERNAL)):
        assert "detail" not in names(view(facts(calm)).items)


@pytest.mark.parametrize("state", State)
def test_what_went_wrong_is_offered_after_a_failure_that_left_a_log(state: State) -> None:
    failed = status(state, failure=SpawnFailed("no such flux"))
    has_failed = state in {State.FAILED, State.BACKOFF}
    assert ("failure" in names(view(facts(failed)).items)) is has_failed
    assert "failure" not in names(view(facts(failed, has_logs=False)).items)
    # No Ollama has written a log about that.
    assert "failure" not in names(shown(state, failure=PortInUse("held")).items)


@pytest.mark.parametrize("state", [State.STOPPED, State.BACKOFF, State.FAILED])
@pytest.mark.parametrize(
    ("why", "excuse"),
    [
        ({"owner": "nginx (pid 7)"}, "its port is held"),
        ({"owner": "ollama (pid 7)", "meant_url": "http://127.0.0.1:11434"}, "ollamaUrl is wrong"),
    ],
)
def test_a_start_that_would_be_refused_is_not_offered_and_says_why_unless_the_line_above_does(
    state: State, why: dict[str, str], excuse: str
) -> None:
    start = shown(state, failure=SpawnFailed("x"), **why).find("power")
    plain = "Start Ollama now" if state is State.BACKOFF else "Start Ollama"
    assert start.label == (plain if state is State.STOPPED else f"{plain} ({excuse})")
    assert (start.command, start.enabled) == (Command(Act.START), False)


def test_a_failure_because_of_the_port_needs_no_excuse_beside_it() -> None:
    menu = shown(State.FAILED, owner="nginx (pid 7)", failure=PortInUse("Port 11434 is held by nginx (pid 7)."))
    assert menu.find("detail").label == "Port 11434 is held by nginx."
    assert (menu.find("power").label, menu.find("power").enabled) == ("Start Ollama", False)


def test_a_problem_with_the_settings_is_a_line_that_leads_to_the_whole_of_it() -> None:
    line = shown(State.RUNNING, settings_problem=f"/home/{'x' * 80}, line 3: no comma").find("settings")
    assert (line.label[:15], units(line.label)) == ("Settings: /home", LABEL_UNITS)
    assert line.command == Command(Act.TELL_SETTINGS_PROBLEM)


def test_every_entry_has_a_name_of_its_own_and_keeps_it_whatever_the_state() -> None:
    seen: dict[str, set[bool]] = {}
    for state in State:
        for level in (shown(state).items, *(item.children for item in everything(shown(state).items))):
            plain = names(level)
            assert len(plain) == len(set(plain))
            assert all(plain)
        for item in shown(state).items:
            seen.setdefault(item.name, set()).add(bool(item.children))
    assert all(len(kinds) == 1 for kinds in seen.values())


# ---- models


def test_each_model_tells_its_size_and_whether_it_is_loaded_and_what_can_be_done_with_it() -> None:
    menu = view(facts(status(State.RUNNING), aura_model="tiny"))
    assert menu.find("models").label == "Models (2, 1 loaded)"
    assert [item.label for item in menu.find("models").children if item is not SEPARATOR] == [
        "● tiny:latest: 459.04 KB",
        "llama3.2:3b: 1.88 GB",
        "Unload all",
        "Pull a model",
    ]
    for name, act, label, is_aura_s in (
        ("llama3.2:3b", Act.LOAD, "Load into memory", False),
        ("tiny:latest", Act.UNLOAD, "Unload from memory", True),
    ):
        load, aura, copy = menu.find("models", f"model {name}").children
        assert (load.label, load.command, load.enabled) == (label, Command(act, name), True)
        assert (aura.label, aura.command, aura.checked) == (
            "Set as Aura's model",
            Command(Act.USE_IN_AURA, name),
            is_aura_s,
        )
        assert (copy.label, copy.command) == ("Copy name", Command(Act.COPY_NAME, name))
    assert menu.find("models", "unload all").command == Command(Act.UNLOAD_ALL)


def test_without_models_the_submenu_says_why() -> None:
    assert shown(State.RUNNING, models=(), loaded=()).find("models", "none").label == "None is installed"
    assert shown(State.STOPPED).find("models", "none").label == "Ollama is not running"


def test_the_entries_of_a_model_stay_where_they_are_when_it_is_loaded() -> None:
    """So that they are changed in place."""
    before = shown(State.RUNNING, loaded=()).find("models", "model tiny:latest")
    after = shown(State.RUNNING).find("models", "model tiny:latest")
    assert names(before.children) == names(after.children)


def test_models_come_by_use_those_in_memory_first_and_the_last_changed_before_older_ones() -> None:
    changed = {"old": "2024-05-04T14:56:49.277302595-07:00", "new": "2025-01-01T00:00:00Z", "odd": "yesterday"}
    models = (*(Model(name, 1, at) for name, at in changed.items()), Model("used", 1), Model("loaded", 1))
    told = facts(status(State.RUNNING, models=models, loaded=("loaded", "gone")), recently_used=("gone", "used", "x"))
    rows = names(view(told).find("models").children)
    assert rows == [f"model {name}" for name in ("loaded", "gone", "used", "new", "old", "odd")] + [
        "unload all",
        "pull",
    ]


def test_a_long_list_ends_with_the_way_to_the_rest() -> None:
    many = tuple(Model(f"m{number}", 1) for number in range(100))
    item = shown(State.RUNNING, models=many, loaded=("m99", "gone")).find("models")
    assert item.label == "Models (101, 2 loaded)"
    assert [child.label for child in item.children[:3]] == ["● m99: 1 B", "● gone", "m0: 1 B"]
    assert len([name for name in names(item.children) if name.startswith("model ")]) == MOST_MODELS
    more = find(item.children, "more")
    assert (more.label, more.command) == ("More… (81)", Command(Act.OPEN_DASHBOARD))


def test_long_names_keep_their_ends_and_their_tag_so_that_quantisations_stay_apart() -> None:
    base = "hf.co/bartowski/Meta-Llama-3.1-8B-Instruct-abliterated-GGUF"
    models = tuple(Model(f"{base}:{tag}", 5 << 30) for tag in ("Q4_K_M", "Q5_K_M"))
    labels = [item.label for item in shown(State.RUNNING, models=models, loaded=()).find("models").children[:2]]
    assert labels == [
        "hf.co/bartows…iterated-GGUF:Q4_K_M: 5 GB",
        "hf.co/bartows…iterated-GGUF:Q5_K_M: 5 GB",
    ]


def test_names_that_would_look_alike_are_shown_longer() -> None:
    models = tuple(Model(f"{'a' * 30}{middle}{'z' * 30}:8b", 1) for middle in "xy")
    labels = [item.label for item in shown(State.RUNNING, models=models, loaded=()).find("models").children[:2]]
    assert labels == [f"{'a' * 30}{middle}{'z' * 30}:8b: 1 B" for middle in "xy"]


def test_a_registry_s_port_is_no_tag() -> None:
    cut = cut_name(f"localhost:5000/library/{'x' * 60}", 34)
    assert units(cut) == 34
    assert cut.startswith("localhost:5000/li")


def test_a_name_that_runs_from_right_to_left_is_isolated_and_no_other() -> None:
    models = (Model(f"{ARABIC}:8b", 1), Model("plain:8b", 1))
    menu = shown(State.RUNNING, models=models, loaded=(f"{ARABIC}:8b",))
    assert menu.find("models", f"model {ARABIC}:8b").label == f"● \u200e\u2068{ARABIC}:8b\u2069: 1 B"
    assert menu.find("models", "model plain:8b").label == "plain:8b: 1 B"
    assert menu.tooltip == f"Aura Ollama: Ollama 0.9.3 is running, \u200e\u2068{ARABIC}:8b\u2069 loaded"


@given(st.lists(st.sampled_from(["a ", ARABIC, "b"]).map(isolated), min_size=1, max_size=40).map(" ".join))
def test_a_cut_leaves_no_isolation_open(text: str) -> None:
    cut = shorten(text, LABEL_UNITS)
    assert units(cut) <= LABEL_UNITS
    assert cut.count("\u2068") == cut.count("\u2069")


def test_isolation_that_a_stranger_left_open_is_dropped() -> None:
    for text in ("\u200e\u2068a\u2069 \u200e\u2068b", "\u2068a\u2069 b", "a\u2069 b", "a \u200eb"):
        assert shorten(text, LABEL_UNITS) == "a b"


def test_a_hanging_ollama_is_not_asked_to_load_or_unload() -> None:
    menu = shown(State.RUNNING, error=TIMED_OUT)
    assert not menu.find("models", "model tiny:latest", "load").enabled
    assert not menu.find("models", "model llama3.2:3b", "load").enabled
    assert not menu.find("models", "unload all").enabled


def test_a_model_on_its_way_into_memory_says_so_and_is_not_asked_for_again() -> None:
    row = view(facts(status(State.RUNNING), loading=frozenset({"llama3.2:3b"}))).find("models", "model llama3.2:3b")
    assert row.label == "llama3.2:3b: loading…"
    assert not row.children[0].enabled


# ---- pulls


def pull(number: int, state: JobState = JobState.RUNNING, **changes: object) -> Job:
    """A plausible pull."""
    job = Job(f"{number}", "llama3.2:3b", "default", state, 0.0, "Downloading", percent=34, total=2 << 30)
    return replace(job, **changes)  # type: ignore[arg-type]


def test_the_tooltip_tells_the_memory_that_a_running_ollama_takes() -> None:
    taken = facts(status(State.RUNNING, loaded=("llama3.2:3b",)), memory="2.9 GB")
    assert view(taken).tooltip == "Aura Ollama: Ollama 0.9.3 is running, llama3.2:3b loaded; 2.9 GB in memory"
    assert "memory" not in view(facts(status(State.STOPPED), memory="2.9 GB")).tooltip


def test_an_ollama_that_is_stuck_looks_like_trouble_and_its_line_says_why() -> None:
    menu = shown(State.RUNNING, stuck="It makes no token.")
    assert menu.look is Look.TROUBLE
    assert menu.find("detail").label == "It makes no token."


def test_a_pull_under_way_has_a_line_with_its_percentage_and_can_be_cancelled() -> None:
    menu = view(facts(status(State.RUNNING, loaded=()), pulls=(pull(7),)))
    assert menu.find("pulling 7").label == "Pulling llama3.2:3b: 34 % of 2 GB"
    assert menu.find("pulling 7", "step").label == "Downloading"
    assert (menu.find("pulling 7", "cancel").label, menu.find("pulling 7", "cancel").command) == (
        "Cancel",
        Command(Act.CANCEL_PULL, "7"),
    )
    assert menu.tooltip == "Aura Ollama: Ollama 0.9.3 is running; pulling llama3.2:3b: 34 % of 2 GB"


def test_the_line_of_a_pull_stays_the_same_entry_while_it_goes_on() -> None:
    """So that it is changed in place."""
    lines = [
        view(facts(status(State.RUNNING), pulls=(job,))).find("pulling 7")
        for job in (pull(7, JobState.QUEUED, total=None), pull(7, total=None), pull(7, percent=99, step="Verifying"))
    ]
    assert [line.label for line in lines] == [
        "Pulling llama3.2:3b: waiting",
        "Pulling llama3.2:3b: 34 %",
        "Pulling llama3.2:3b: 99 % of 2 GB",
    ]
    assert len({tuple(names(line.children)) for line in lines}) == 1


def test_many_pulls_have_three_lines_and_a_count() -> None:
    items = view(facts(status(State.RUNNING), pulls=tuple(map(pull, range(10))))).items
    assert names(items)[names(items).index("pulling 0") :][:4] == ["pulling 0", "pulling 1", "pulling 2", "more pulls"]
    assert find(items, "more pulls").label == "and 7 more on their way"


def test_what_is_recommended_and_not_installed_can_be_pulled() -> None:
    children = shown(State.RUNNING).find("models", "pull").children
    assert [(item.label, item.command) for item in children if item is not SEPARATOR] == [
        ("Llama 3.1 (8B): 4.7 GB", Command(Act.PULL, "llama3.1:8b")),
        ("Mistral (7B): 4.1 GB", Command(Act.PULL, "mistral:7b")),
        ("Llama 3.1 (70B): 40 GB", Command(Act.PULL, "llama3.1:70b")),
        ("Other models…", Command(Act.FIND_MODELS)),
    ]


# ---- the rest


def test_marks_follow_the_preferences_and_offers_come_only_when_there_is_cause() -> None:
    menu = view(facts(status(State.STOPPED), starts_at_login=True, has_logs=False, api_url=None))
    assert (menu.find("login").label, menu.find("login").checked) == ("Start this program at login", True)
    assert (menu.find("launch").label, menu.find("launch").checked) == ("Start Ollama with this program", False)
    assert (menu.find("open", "newest log").label, menu.find("open", "newest log").enabled) == (
        "Newest log (none yet)",
        False,
    )
    assert not menu.find("copy sidecar").enabled
    assert "allow desktop" not in names(menu.items)
    assert view(facts(status(State.STOPPED), is_desktop_refused=True)).find("allow desktop").enabled


def test_the_default_action_is_harmless() -> None:
    (default,) = [item for item in shown(State.RUNNING).items if item.is_default]
    assert default.command == Command(Act.SHOW_STATUS)


def test_lists_and_texts_of_any_length_make_a_short_menu_at_once() -> None:
    """What is foreign is bounded where it is decoded; this holds whatever comes through."""
    models = tuple(Model(f"m{number}", 10**309) for number in range(10_000))
    loaded = tuple(model.name for model in models)
    long = "x " * 5_000_000
    told = status(State.RUNNING, models=models, loaded=loaded, version=long, owner=long, settings_problem=long)
    began = time.perf_counter()
    menu = view(facts(told))
    assert time.perf_counter() - began < tied.seconds(0.5)
    items = menu.find("models").children
    assert [items[0].label, menu.find("models", "more").label] == ["● m0: 8192 PB", "More… (9980)"]
    assert units(menu.tooltip) <= TOOLTIP_UNITS


@given(st.sampled_from(State), st.text(max_size=300), st.lists(st.text(), max_size=5))
def test_whatever_comes_from_outside_every_text_is_one_printable_line_that_fits(
    state: State, words: str, found: list[str]
) -> None:
    models = tuple(Model(name, 5) for name in found)
    told = status(state, owner=words, version=words, failure=SpawnFailed(words), settings_problem=words, models=models)
    for loaded in ((), tuple(found)):
        menu = view(facts(replace(told, loaded=loaded)))
        assert menu.tooltip.translate(dict.fromkeys(map(ord, MARKS))).isprintable()
        assert units(menu.tooltip) <= TOOLTIP_UNITS
        for item in everything(menu.items):
            assert item is SEPARATOR or item.label
            assert item.label.translate(dict.fromkeys(map(ord, MARKS))).isprintable()
            assert units(item.label) <= (ALIKE_UNITS if item.name.startswith("model ") else LABEL_UNITS)


@given(st.text(max_size=300))
def test_a_headline_fits_whatever_the_version_is(version: str) -> None:
    for state in (State.RUNNING, State.EXTERNAL):
        assert units(headline(status(state, version=version))) <= LABEL_UNITS


def test_a_cut_goes_around_a_sign_and_not_through_it() -> None:
    tooltip = shown(State.STOPPED, owner="🦙" * 100).tooltip
    assert tooltip.endswith("🦙…")
    assert units(tooltip) in (TOOLTIP_UNITS - 1, TOOLTIP_UNITS)
    cut = cut_name("🦙" * 100, 34)
    assert cut.count("🦙") + 1 == len(cut)


def test_an_owner_that_is_recognised_is_offered_and_given_back() -> None:
    offered = shown(State.EXTERNAL, offer="systemd:ollama.service").find("control")
    assert offered.label == "Control ollama.service from here"
    assert offered.command == Command(Act.CONTROL, "systemd:ollama.service")
    for state in (State.RUNNING, State.STOPPED, State.FAILED, State.BACKOFF):
        back = shown(state, controlled_by="systemd:ollama.service").find("control")
        assert back.label == "Stop controlling ollama.service from here"
        assert back.command == Command(Act.LET_GO)
    for state in State:
        assert "control" not in names(shown(state).items)
