"""The view for each set of facts, and the items of the menu from top to bottom."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import Crashed, PortInUse, SpawnFailed
from core.settings.owner import PROCESS, name_of
from core.supervision.state import State, Status
from core.supervision.told import detail, headline
from core.text import shorten
from tray.menu.facts import Facts
from tray.menu.items import LABEL_UNITS, SEPARATOR, TOOLTIP_UNITS, Act, Command, Item, find, note
from tray.menu.look import Look, look_of
from tray.menu.models import models_item
from tray.menu.pulls import in_tooltip, pull_lines
from tray.menu.told import detail_in_short, sentence_in_short


@dataclass(frozen=True, slots=True)
class View:
    """What the tray shows."""

    look: Look
    tooltip: str
    items: tuple[Item, ...]

    def find(self, *names: str) -> Item:
        """The item of that name, one name a level. Raises LookupError."""
        return find(self.items, *names)


def view(facts: Facts) -> View:
    """The tray for these facts."""
    memory = f"; {facts.memory} in memory" if facts.memory and facts.status.is_running else ""
    told = f"Aura Ollama: {sentence_in_short(facts.status)}{memory}{in_tooltip(facts.pulls)}"
    tooltip = shorten(told, TOOLTIP_UNITS)
    return View(look_of(facts.status), tooltip, tuple(_items(facts)))


def bare_view() -> View:
    """The tray for facts that cannot be shown: it says so, and lets the user quit."""
    items = (
        note("status", "The status cannot be shown; the log says why"),
        SEPARATOR,
        Item("quit", "Quit", Command(Act.QUIT)),
    )
    return View(Look.TROUBLE, "Aura Ollama: see the log", items)


def _items(facts: Facts) -> list[Item]:
    status = facts.status
    items = [
        note("status", headline(status)),
        *_told(facts),
        SEPARATOR,
        *_wishes(status),
        *_control(status),
        SEPARATOR,
        Item("dashboard", "Open dashboard", Command(Act.OPEN_DASHBOARD), enabled=bool(facts.api_url)),
        *pull_lines(facts.pulls),
        models_item(facts),
        _places(facts),
        Item("copy ollama", "Copy Ollama's address", Command(Act.COPY_OLLAMA_ADDRESS), enabled=bool(status.url)),
        Item(
            "copy sidecar", "Copy the sidecar's address", Command(Act.COPY_SIDECAR_ADDRESS), enabled=bool(facts.api_url)
        ),
        Item("choose", "Choose Ollama's executable…", Command(Act.CHOOSE_EXECUTABLE)),
    ]
    if facts.is_desktop_refused:
        items.append(Item("allow desktop", "Allow Aura desktop", Command(Act.ALLOW_DESKTOP)))
    login = Item("login", "Start this program at login", Command(Act.START_AT_LOGIN), checked=facts.starts_at_login)
    launch = Item(
        "launch", "Start Ollama with this program", Command(Act.START_ON_LAUNCH), checked=facts.starts_on_launch
    )
    return [
        *items,
        SEPARATOR,
        login,
        launch,
        SEPARATOR,
        # Where a click on the icon itself acts at once, it does nothing that anybody could regret.
        Item("show", "Show status", Command(Act.SHOW_STATUS), is_default=True),
        Item("about", "About Aura Ollama", Command(Act.ABOUT)),
        Item("quit", "Quit", Command(Act.QUIT)),
    ]


def _told(facts: Facts) -> list[Item]:
    """What is wrong, each on a line of its own that leads to the whole of it."""
    status = facts.status
    items = []
    if told := shorten(detail_in_short(status) or "", LABEL_UNITS):
        items.append(Item("detail", told, Command(Act.SHOW_STATUS)))
    has_failed = status.state in {State.FAILED, State.BACKOFF} and isinstance(status.failure, SpawnFailed | Crashed)
    if has_failed and facts.has_logs:
        items.append(Item("failure", "What went wrong…", Command(Act.OPEN_FAILURE)))
    if status.settings_problem and status.settings_problem != detail(status):
        label = shorten(f"Settings: {status.settings_problem}", LABEL_UNITS)
        items.append(Item("settings", label, Command(Act.TELL_SETTINGS_PROBLEM)))
    return items


def _wishes(status: Status) -> tuple[Item, ...]:
    """What can be asked of Ollama now: one entry that changes, and a second one where there are two ways to go on."""
    stop = Item("power", "Stop Ollama", Command(Act.STOP))
    match status.state:
        case State.NOT_INSTALLED if not status.settings_problem:
            return (Item("power", "Get Ollama…", Command(Act.GET_OLLAMA)),)
        case State.UNKNOWN | State.NOT_INSTALLED:
            return (_start(None, is_possible=False),)
        case State.STOPPED:
            # The line above says why not.
            return (_start(None, is_possible=_obstacle(status) is None),)
        case State.FAILED:
            # A failure for that very reason is told above.
            told = isinstance(status.failure, PortInUse)
            return (_start(None if told else _obstacle(status), is_possible=_obstacle(status) is None),)
        case State.STOPPING:
            return (_start(None),)
        case State.STARTING:
            # A start may be stopped while it is under way; that is what stop is for.
            return (stop,)
        case State.RUNNING:
            return stop, Item("restart", "Restart Ollama", Command(Act.RESTART))
        case State.EXTERNAL:
            return (Item("power", "How to stop it…", Command(Act.TELL_HOW_TO_STOP)),)
        case State.BACKOFF:
            now = _start(_obstacle(status), label="Start Ollama now")
            return now, Item("restart", "Leave it stopped", Command(Act.STOP))


def _control(status: Status) -> tuple[Item, ...]:
    """Take over what an owner runs that is known by name, or give that back: what either changes is one setting."""
    if status.state is State.EXTERNAL and status.offer:
        label = shorten(f"Control {name_of(status.offer)} from here", LABEL_UNITS)
        return (Item("control", label, Command(Act.CONTROL, status.offer)),)
    if status.controlled_by != PROCESS:
        label = shorten(f"Stop controlling {name_of(status.controlled_by)} from here", LABEL_UNITS)
        return (Item("control", label, Command(Act.LET_GO)),)
    return ()


def _start(obstacle: str | None, *, is_possible: bool = True, label: str = "Start Ollama") -> Item:
    excused = f"{label} ({obstacle})" if obstacle else label
    return Item("power", excused, Command(Act.START), enabled=is_possible and not obstacle)


def _obstacle(status: Status) -> str | None:
    """Why a start would be refused, as far as that is known."""
    if status.meant_url:
        return "ollamaUrl is wrong"
    if not status.is_startable:
        return "only over there"
    return "its port is held" if status.owner else None


def _places(facts: Facts) -> Item:
    newest = "Newest log" if facts.has_logs else "Newest log (none yet)"
    children = (
        Item("newest log", newest, Command(Act.OPEN_NEWEST_LOG), enabled=facts.has_logs),
        Item("logs", "Logs folder", Command(Act.OPEN_LOGS)),
        Item("data", "Data folder", Command(Act.OPEN_DATA)),
        SEPARATOR,
        Item("aura settings", "Aura's settings", Command(Act.OPEN_AURA_SETTINGS)),
        Item("own settings", "This program's settings", Command(Act.OPEN_OWN_SETTINGS)),
    )
    return Item("open", "Open", children=children)
