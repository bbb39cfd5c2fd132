"""The view for each set of facts, and the items of the menu from top to bottom."""

from __future__ import annotations

from dataclasses import dataclass

from core.ollama.models import Model
from core.supervision.state import State, Status
from core.text import size_text
from tray.menu.items import SEPARATOR, Act, Command, Item
from tray.menu.look import Look, look_of
from tray.menu.words import LABEL_UNITS, OWNER_UNITS, TOOLTIP_UNITS, headline, shorten

MOST_MODELS = 40


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the tray's looks depend on."""

    status: Status
    api_url: str | None
    starts_at_login: bool
    starts_on_launch: bool
    has_logs: bool
    is_desktop_refused: bool


@dataclass(frozen=True, slots=True)
class View:
    """What the tray shows."""

    look: Look
    tooltip: str
    items: tuple[Item, ...]


def view(facts: Facts) -> View:
    """The tray for these facts."""
    sentence = headline(facts.status)
    tooltip = shorten(f"Aura Ollama: {sentence}", TOOLTIP_UNITS)
    return View(look_of(facts.status), tooltip, tuple(_items(facts, sentence)))


def bare_view() -> View:
    """The tray for facts that cannot be shown: it says so, and lets the user quit."""
    items = (_note("What Ollama does cannot be shown; the log says why"), SEPARATOR, Item("Quit", Command(Act.QUIT)))
    return View(Look.TROUBLE, "Aura Ollama: see the log", items)


def _items(facts: Facts, sentence: str) -> list[Item]:
    items = [
        _note(sentence, "status"),
        *([_note(f"Settings: {problem}", "settings")] if (problem := facts.status.settings_problem) else []),
        SEPARATOR,
        _item("Start", Act.START, _why_not_start(facts.status)),
        _item("Stop", Act.STOP, _why_not_stop(facts.status)),
        _item("Restart", Act.RESTART, _why_not_restart(facts.status)),
        SEPARATOR,
        Item("Models", children=tuple(_models(facts.status)), name="models"),
        _logs(facts),
        _item("Copy API address", Act.COPY_ADDRESS, None if facts.api_url else "not up yet"),
        Item("Choose executable…", Command(Act.CHOOSE_EXECUTABLE)),
    ]
    if facts.is_desktop_refused:
        items.append(Item("Allow Aura desktop", Command(Act.ALLOW_DESKTOP)))
    # Where a click on the icon itself acts at once, it does nothing that anybody could regret.
    return [
        *items,
        SEPARATOR,
        Item("Start at login", Command(Act.START_AT_LOGIN), checked=facts.starts_at_login),
        Item("Start Ollama on launch", Command(Act.START_ON_LAUNCH), checked=facts.starts_on_launch),
        SEPARATOR,
        Item("Show status", Command(Act.SHOW_STATUS), is_default=True),
        Item("About Aura Ollama", Command(Act.ABOUT)),
        Item("Quit", Command(Act.QUIT)),
    ]


def _item(label: str, act: Act, why_not: str | None) -> Item:
    text = f"{label} ({why_not})" if why_not else label
    return Item(shorten(text, LABEL_UNITS), Command(act), enabled=why_not is None)


def _note(text: str, name: str = "") -> Item:
    return Item(shorten(text, LABEL_UNITS), enabled=False, name=name)


def _why_not_start(status: Status) -> str | None:
    match status.state:
        case State.UNKNOWN:
            return "looking for Ollama"
        case State.NOT_INSTALLED:
            return "install Ollama, or choose its executable, first"
        case State.STARTING:
            return "already starting"
        case State.RUNNING:
            return "already running"
        case State.EXTERNAL:
            return "already running, not started here"
        case State.STOPPED | State.BACKOFF | State.FAILED if status.meant_url:
            return f"ollamaUrl should be {shorten(status.meant_url, OWNER_UNITS)}"
        case State.STOPPED | State.BACKOFF | State.FAILED if status.owner:
            return f"the port is held by {shorten(status.owner, OWNER_UNITS)}"
        case State.STOPPED | State.STOPPING | State.BACKOFF | State.FAILED:
            return None


def _why_not_stop(status: Status) -> str | None:
    match status.state:
        case State.STARTING | State.RUNNING | State.BACKOFF:
            # A start may be stopped while it is under way; that is what stop is for.
            return None
        case State.STOPPING:
            return "already stopping"
        case State.EXTERNAL:
            return f"not started here: {shorten(status.owner or 'unknown owner', OWNER_UNITS)}"
        case State.UNKNOWN | State.NOT_INSTALLED | State.STOPPED | State.FAILED:
            return "not running"


def _why_not_restart(status: Status) -> str | None:
    if status.state is State.RUNNING:
        return None
    return "not started here" if status.state is State.EXTERNAL else "not running"


def _models(status: Status) -> list[Item]:
    """What is in memory first, each with its way out; then the others, as many as a menu bears."""
    if not status.is_running:
        return [_note("Ollama is not running")]
    known = {model.name: model for model in status.models}
    loaded = [known.get(name, Model(name)) for name in dict.fromkeys(status.loaded)]
    in_memory = {model.name for model in loaded}
    others = [model for model in status.models if model.name not in in_memory]
    items = [_loaded(model, status) for model in loaded[:MOST_MODELS]]
    items += [_note(_model_line(model), model.name) for model in others[: MOST_MODELS - len(items)]]
    more = len(loaded) + len(others) - len(items)
    if more:
        items.append(_note(f"and {more} more"))
    return items or [_note("none installed")]


def _loaded(model: Model, status: Status) -> Item:
    why_not = "Ollama does not answer" if status.error else None
    label = f"Unload ({why_not})" if why_not else "Unload"
    unload = Item(label, Command(Act.UNLOAD, model.name), enabled=why_not is None)
    return Item(shorten(f"● {_model_line(model)}", LABEL_UNITS), children=(unload,), name=model.name)


def _model_line(model: Model) -> str:
    return f"{shorten(model.name, OWNER_UNITS)}: {size_text(model.size)}" if model.size else model.name


def _logs(facts: Facts) -> Item:
    if not facts.has_logs:
        return _note("Open logs (none yet)", "logs")
    folder = Item("Folder", Command(Act.OPEN_LOGS))
    newest = Item("Newest log", Command(Act.OPEN_NEWEST_LOG))
    return Item("Open logs", children=(newest, folder), name="logs")
