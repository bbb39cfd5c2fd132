"""What a menu is made of: items, and the commands that they send."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
