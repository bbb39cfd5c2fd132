"""From what is known to what the tray shows: one look, one tooltip, one list of items. Pure; knows no toolkit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.client import Model
from core.state import State, Status
from core.text import size_text

TOOLTIP_CHARACTERS = 127
_OWNER_CHARACTERS = 60


class Look(StrEnum):
    """Which image: an Ollama answers, none does, something is under way, or one hangs."""

    UP = "up"
    DOWN = "down"
    BUSY = "busy"
    TROUBLE = "trouble"


class Act(StrEnum):
    """Everything that can be asked for in the menu."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    OPEN_LOGS = "open logs"
    OPEN_NEWEST_LOG = "open newest log"
    UNLOAD = "unload"
    COPY_ADDRESS = "copy address"
    CHOOSE_EXECUTABLE = "choose executable"
    START_AT_LOGIN = "start at login"
    START_ON_LAUNCH = "start on launch"
    ALLOW_DESKTOP = "allow desktop"
    ABOUT = "about"
    SHOW_STATUS = "show status"
    QUIT = "quit"


@dataclass(frozen=True, slots=True)
class Command:
    """One act, and what it acts on, if anything."""

    act: Act
    argument: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One menu entry. `checked` is None for one without a mark; one with children opens a submenu."""

    label: str
    command: Command | None = None
    enabled: bool = True
    checked: bool | None = None
    is_default: bool = False
    children: tuple[Item, ...] = ()


SEPARATOR = Item("")


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the tray's looks depend on. `is_pending` is the wish that was clicked and is not fulfilled yet."""

    status: Status
    api_url: str | None
    starts_at_login: bool
    starts_on_launch: bool
    has_logs: bool
    is_desktop_refused: bool
    is_pending: Act | None = None


@dataclass(frozen=True, slots=True)
class View:
    """What the tray shows."""

    look: Look
    tooltip: str
    items: tuple[Item, ...]


def view(facts: Facts) -> View:
    """The tray for these facts."""
    sentence = headline(facts.status)
    tooltip = _shortened(f"Aura Ollama: {sentence}", TOOLTIP_CHARACTERS)
    return View(_look(facts), tooltip, tuple(_items(facts, sentence)))


def headline(status: Status) -> str:
    """The status as one short sentence."""
    version = f"Ollama {status.version}" if status.version else "Ollama"
    match status.state:
        case State.UNKNOWN:
            return "Looking for Ollama…"
        case State.NOT_INSTALLED:
            return "Ollama is not installed"
        case State.STOPPED:
            held = f"; the port is held by {_shortened(status.owner, _OWNER_CHARACTERS)}" if status.owner else ""
            return f"Ollama is not running{held}"
        case State.STARTING:
            return "Ollama is starting…"
        case State.STOPPING:
            return "Ollama is stopping…"
        case State.BACKOFF:
            return "Ollama crashed and will be started again"
        case State.FAILED:
            return f"Ollama is not running: {status.failure.message if status.failure else 'it failed'}"
        case State.RUNNING | State.EXTERNAL:
            return _up(status, version)


def _up(status: Status, version: str) -> str:
    if not status.is_running:
        return f"{version} has ended"
    if status.error:
        return f"{version} does not answer ({status.error})"
    whose = f"pid {status.pid}" if status.state is State.RUNNING else "not started here"
    loaded = f", {', '.join(status.loaded)} loaded" if status.loaded else ""
    return f"{version} is running ({whose}){loaded}"


def _look(facts: Facts) -> Look:
    status = facts.status
    if status.state in {State.UNKNOWN, State.STARTING, State.STOPPING, State.BACKOFF}:
        return Look.BUSY
    if not status.is_running:
        return Look.DOWN
    return Look.TROUBLE if status.error else Look.UP


def _items(facts: Facts, sentence: str) -> list[Item]:
    items = [
        Item(_shortened(sentence, TOOLTIP_CHARACTERS), enabled=False),
        SEPARATOR,
        _item("Start", Act.START, _why_not_start(facts)),
        _item("Stop", Act.STOP, _why_not_stop(facts)),
        _item("Restart", Act.RESTART, _why_not_restart(facts)),
        SEPARATOR,
        Item("Models", children=tuple(_models(facts.status))),
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
    return Item(f"{label} ({why_not})" if why_not else label, Command(act), enabled=why_not is None)


def _why_not_start(facts: Facts) -> str | None:
    if facts.is_pending:
        return f"{facts.is_pending} is under way"
    match facts.status.state:
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
        case State.STOPPED | State.STOPPING | State.BACKOFF | State.FAILED:
            return None


def _why_not_stop(facts: Facts) -> str | None:
    # A start may be stopped while it is under way; that is what stop is for.
    if facts.is_pending in {Act.STOP, Act.RESTART}:
        return f"{facts.is_pending} is under way"
    match facts.status.state:
        case State.STARTING | State.RUNNING | State.BACKOFF:
            return None
        case State.STOPPING:
            return "already stopping"
        case State.EXTERNAL:
            return f"not started here: {_shortened(facts.status.owner or 'unknown owner', _OWNER_CHARACTERS)}"
        case State.UNKNOWN | State.NOT_INSTALLED | State.STOPPED | State.FAILED:
            return "not running"


def _why_not_restart(facts: Facts) -> str | None:
    if facts.is_pending:
        return f"{facts.is_pending} is under way"
    if facts.status.state is State.RUNNING:
        return None
    return "not started here" if facts.status.state is State.EXTERNAL else "not running"


def _models(status: Status) -> list[Item]:
    if not status.is_running:
        return [Item("Ollama is not running", enabled=False)]
    if not status.models:
        return [Item("none installed", enabled=False)]
    return [_model(model, is_loaded=model.name in status.loaded) for model in status.models]


def _model(model: Model, *, is_loaded: bool) -> Item:
    label = f"{model.name}: {size_text(model.size)}"
    if not is_loaded:
        return Item(label, enabled=False)
    return Item(f"● {label}", children=(Item("Unload", Command(Act.UNLOAD, model.name)),))


def _logs(facts: Facts) -> Item:
    if not facts.has_logs:
        return Item("Open logs (none yet)", enabled=False)
    folder = Item("Folder", Command(Act.OPEN_LOGS))
    return Item("Open logs", children=(Item("Newest log", Command(Act.OPEN_NEWEST_LOG)), folder))


def _shortened(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
