"""What a menu is made of: items, and the commands that they send."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

TOOLTIP_UNITS = 127
"""UTF-16 units that fit in `szTip` of Windows' NOTIFYICONDATAW; ctypes refuses a longer one."""
LABEL_UNITS = 50
"""The longest line of the menu, unless names would be alike: about 350 pixels, and 700 on a screen at 200 %."""


class Act(StrEnum):
    """Everything that can be asked for in the menu."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    GET_OLLAMA = "get ollama"
    TELL_HOW_TO_STOP = "tell how to stop"
    TELL_SETTINGS_PROBLEM = "tell settings problem"
    OPEN_FAILURE = "open failure"
    OPEN_DASHBOARD = "open dashboard"
    LOAD = "load"
    UNLOAD = "unload"
    UNLOAD_ALL = "unload all"
    USE_IN_AURA = "use in aura"
    COPY_NAME = "copy name"
    PULL = "pull"
    CANCEL_PULL = "cancel pull"
    FIND_MODELS = "find models"
    OPEN_NEWEST_LOG = "open newest log"
    OPEN_LOGS = "open logs"
    OPEN_DATA = "open data"
    OPEN_AURA_SETTINGS = "open aura settings"
    OPEN_OWN_SETTINGS = "open own settings"
    COPY_OLLAMA_ADDRESS = "copy ollama address"
    COPY_SIDECAR_ADDRESS = "copy sidecar address"
    CHOOSE_EXECUTABLE = "choose executable"
    START_AT_LOGIN = "start at login"
    START_ON_LAUNCH = "start on launch"
    ALLOW_DESKTOP = "allow desktop"
    CONTROL = "control"
    LET_GO = "let go"
    ABOUT = "about"
    SHOW_STATUS = "show status"
    QUIT = "quit"


@dataclass(frozen=True, slots=True)
class Command:
    """One act, and what it acts on, if anything: the name of a model, or the id of a pull."""

    act: Act
    argument: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One menu entry. `checked` is None for one without a mark; one with children opens a submenu.

    `name` is what programs know it by: unlike any other beside it, and the same whatever its label and command are. As
    long as it stays, the entry is changed where it stands.
    """

    name: str
    label: str
    command: Command | None = None
    enabled: bool = True
    checked: bool | None = None
    is_default: bool = False
    children: tuple[Item, ...] = ()


SEPARATOR = Item("separator", "")


def find(items: Iterable[Item], *names: str) -> Item:
    """The item of that name, one name a level. Raises LookupError, with the names that there are."""
    level = tuple(items)
    for item in level:
        if item.name == names[0]:
            return find(item.children, *names[1:]) if names[1:] else item
    raise LookupError(f"no {names[0]!r} among {[item.name for item in level]}")


def note(name: str, label: str) -> Item:
    """A line that only tells."""
    return Item(name, label, enabled=False)
