"""From what is known to what the tray shows: one look, one tooltip, one list of items. Pure; knows no toolkit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.ollama.client import Model
from core.supervision.state import State, Status
from core.text import size_text

TOOLTIP_UNITS = 127
"""UTF-16 units that fit in `szTip` of Windows' NOTIFYICONDATAW; ctypes refuses a longer one."""
LABEL_UNITS = 120
MOST_MODELS = 40
_OWNER_UNITS = 60
_MOST_NAMES = 10
_READ_PER_UNIT = 16
"""How many signs of a text are looked at for each unit that is shown: spaces and the like fall away."""


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
    """One menu entry. `checked` is None for one without a mark; one with children opens a submenu.

    An entry is the same as long as its `name` is, whatever its label says: then it is changed where it stands. Without
    a name it is known by its command, and without that by its label.
    """

    label: str
    command: Command | None = None
    enabled: bool = True
    checked: bool | None = None
    is_default: bool = False
    children: tuple[Item, ...] = ()
    name: str = ""

    @property
    def key(self) -> str:
        """What this entry is known by among its neighbours."""
        return self.name or (f"{self.command.act}:{self.command.argument}" if self.command else self.label)


SEPARATOR = Item("")


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
    return View(_look(facts.status), tooltip, tuple(_items(facts, sentence)))


def bare_view() -> View:
    """The tray for facts that cannot be shown: it says so, and lets the user quit."""
    items = (_note("What Ollama does cannot be shown; the log says why"), SEPARATOR, Item("Quit", Command(Act.QUIT)))
    return View(Look.TROUBLE, "Aura Ollama: see the log", items)


def shorten(text: str, most: int) -> str:
    """`text` on one line, without signs that cannot be printed, and of at most `most` UTF-16 units."""
    read = text[: _READ_PER_UNIT * most]
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in read).split())
    if units(line) <= most:
        return line
    # Half a surrogate pair at the cut is dropped.
    return line.encode("utf-16-le")[: 2 * (most - 1)].decode("utf-16-le", "ignore").rstrip() + "…"


def units(text: str) -> int:
    """The length of a printable text as Windows counts it, in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def headline(status: Status) -> str:
    """The status as one short sentence."""
    version = f"Ollama {status.version}" if status.version else "Ollama"
    match status.state:
        case State.UNKNOWN:
            return "Looking for Ollama…"
        case State.NOT_INSTALLED:
            return status.path_problem or "Ollama is not installed"
        case State.STOPPED:
            if status.meant_url:
                return f"Ollama is not running; ollamaUrl should be {shorten(status.meant_url, _OWNER_UNITS)}"
            held = f"; the port is held by {shorten(status.owner, _OWNER_UNITS)}" if status.owner else ""
            return f"Ollama is not running{held}"
        case State.STARTING:
            return f"Ollama is starting… {status.waits_for}" if status.waits_for else "Ollama is starting…"
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
    if status.failure:
        return f"{version} is still running ({whose}): {status.failure.title}"
    loaded = f", {', '.join(status.loaded[:_MOST_NAMES])} loaded" if status.loaded else ""
    return f"{version} is running ({whose}){loaded}"


def _look(status: Status) -> Look:
    if status.state in {State.UNKNOWN, State.STARTING, State.STOPPING, State.BACKOFF}:
        return Look.BUSY
    if not status.is_running:
        return Look.DOWN
    return Look.TROUBLE if status.error else Look.UP


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
            return f"ollamaUrl should be {shorten(status.meant_url, _OWNER_UNITS)}"
        case State.STOPPED | State.BACKOFF | State.FAILED if status.owner:
            return f"the port is held by {shorten(status.owner, _OWNER_UNITS)}"
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
            return f"not started here: {shorten(status.owner or 'unknown owner', _OWNER_UNITS)}"
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
    return f"{shorten(model.name, _OWNER_UNITS)}: {size_text(model.size)}" if model.size else model.name


def _logs(facts: Facts) -> Item:
    if not facts.has_logs:
        return _note("Open logs (none yet)", "logs")
    folder = Item("Folder", Command(Act.OPEN_LOGS))
    newest = Item("Newest log", Command(Act.OPEN_NEWEST_LOG))
    return Item("Open logs", children=(newest, folder), name="logs")
