"""A GTK menu that is made once and then changed in place. For `gtk` only; everything here is on GTK's thread.

Tray hosts read the menu over the bus (com.canonical.dbusmenu), each entry by a number, and a click may still be on its
way when the entries change. libdbusmenu's client, in Xfce's panel among others, frees the menu that it is showing when
it gets another root, and crashes if a click on it is being handled: "invalid unclassed pointer in cast to
'DbusmenuGtkMenu'". So the root stays for ever, and an entry stays as long as its name does.

Logic of a change: the entries of each level are matched by their shape, which is their name and their kind. What
matches gets its new label, state and mark at once; no host minds that. Entries that come or go move those below them,
so that waits until the menu is closed, and until the last click is over. A host that does not tell when it closes the
menu tells so by asking for it again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from difflib import SequenceMatcher
from typing import Any

import gi

gi.require_version("Gtk", "3.0")
from gi.repository import GLib, Gtk  # noqa: E402 - only after its version is chosen

from tray.menu import SEPARATOR, Command, Item  # noqa: E402

QUIET_SECONDS = 0.5
"""How long after a click, or after the menu was closed, entries neither come nor go."""
ASKED_SECONDS = 10.0
"""How long a menu counts as open after a host has asked for it: Xfce's panel does not tell when it is closed."""
OPEN_SECONDS = 120.0
"""How long at most it counts as open on hosts that tell when it is opened and when it is closed."""

_Shape = tuple[str, bool, bool, bool]


class LiveMenu:
    """One menu, `root`, for as long as the program runs. Make it and use it on GTK's thread."""

    def __init__(self, items: Iterable[Item], on_command: Callable[[Command], None]) -> None:
        """`on_command` gets the command of an entry that was clicked, and must return at once."""
        self._on_command = on_command
        self._level = _Level(self._clicked)
        self._wanted = tuple(items)
        self._is_whole = False
        self._calm_at = -math.inf
        self._click_over_at = -math.inf
        self._is_told_open = False
        self._timer = 0
        self.root: Any = self._level.menu
        self.root.connect("map", lambda _: self._hold(math.inf))
        self.root.connect("unmap", lambda _: self._hold(QUIET_SECONDS))
        self._apply()

    def show(self, items: Iterable[Item]) -> None:
        """Have the menu hold these items; entries that come or go may do so later."""
        self._wanted = tuple(items)
        self._apply()

    def choose_default(self) -> None:
        """Do what a click on the default entry does."""
        for item in self._wanted:
            if item.is_default and item.command:
                self._on_command(item.command)

    def watch(self, bus_root: Any) -> None:
        """Learn from `bus_root`, the root as hosts see it (a DbusmenuMenuitem), when one of them opens the menu."""
        bus_root.connect("about-to-show", self._about_to_show)
        bus_root.connect("event", self._event)

    def _about_to_show(self, _: Any) -> bool:
        # Nobody sees the menu yet, so what has waited comes now: who opens it again and again would see old entries.
        is_changed = not self._is_whole and not self._is_told_open and time.monotonic() >= self._click_over_at
        if is_changed:
            self._hold(0)
            self._apply()
        self._hold_at_least(ASKED_SECONDS)
        return is_changed

    def _event(self, _: Any, name: str, *__: Any) -> bool:
        if name == "opened":
            self._is_told_open = True
            self._hold_at_least(OPEN_SECONDS)
        elif name == "closed":
            self._is_told_open = False
            self._hold(QUIET_SECONDS)
        # Others are to hear of it too.
        return False

    def _clicked(self, item: Item) -> None:
        self._click_over_at = time.monotonic() + QUIET_SECONDS
        self._hold(QUIET_SECONDS)
        if item.command:
            self._on_command(item.command)

    def _hold_at_least(self, seconds: float) -> None:
        """Let no entry come or go for that long from now, or as long as was said before."""
        self._hold(max(seconds, self._calm_at - time.monotonic()))

    def _hold(self, seconds: float) -> None:
        """Let no entry come or go for that long from now; what was said before no longer counts."""
        self._calm_at = time.monotonic() + seconds
        if self._timer:
            GLib.source_remove(self._timer)
            self._timer = 0
        if not self._is_whole:
            self._try_later()

    def _apply(self) -> None:
        self._is_whole = self._level.change(self._wanted, may_edit=time.monotonic() >= self._calm_at)
        if not self._is_whole and not self._timer:
            self._try_later()

    def _try_later(self) -> None:
        left = self._calm_at - time.monotonic()
        if left < math.inf:
            self._timer = GLib.timeout_add(max(0, math.ceil(left * 1000)), self._again)

    def _again(self) -> bool:
        self._timer = 0
        self._apply()
        return bool(GLib.SOURCE_REMOVE)


class _Level:
    """The entries of the menu or of one submenu."""

    def __init__(self, on_click: Callable[[Item], None]) -> None:
        self.menu: Any = Gtk.Menu()
        self._on_click = on_click
        self._entries: list[_Entry] = []

    def change(self, items: tuple[Item, ...], may_edit: bool) -> bool:
        """Show these items; without `may_edit` no entry comes or goes. Whether all of them are shown."""
        shown = [_shape(entry.item) for entry in self._entries]
        wanted = [_shape(item) for item in items]
        is_whole = True
        # From the end, so that the places before stay right.
        for step, old, old_end, new, new_end in reversed(SequenceMatcher(None, shown, wanted, False).get_opcodes()):
            if step == "equal":
                for entry, item in zip(self._entries[old:old_end], items[new:new_end], strict=True):
                    is_whole &= entry.become(item, may_edit)
            elif may_edit:
                self._replace(old, old_end, items[new:new_end])
            else:
                is_whole = False
        return is_whole

    def _replace(self, start: int, end: int, items: tuple[Item, ...]) -> None:
        for entry in self._entries[start:end]:
            entry.widget.destroy()
        added = [_Entry(item, self._on_click) for item in items]
        for place, entry in enumerate(added, start):
            self.menu.insert(entry.widget, place)
        self._entries[start:end] = added


class _Entry:
    """One widget and the item that it shows."""

    def __init__(self, item: Item, on_click: Callable[[Item], None]) -> None:
        self.item = item
        self._on_click = on_click
        self._level: _Level | None = None
        self._activation = 0
        self.widget = self._make()
        self.widget.show_all()

    def become(self, item: Item, may_edit: bool) -> bool:
        """Show `item`, which has the same shape. Whether its children are all shown."""
        old, self.item = self.item, item
        if (item.label, item.is_default) != (old.label, old.is_default):
            self._set_label()
        if item.enabled != old.enabled:
            self.widget.set_sensitive(item.enabled)
        self._set_mark()
        return self._level is None or self._level.change(item.children, may_edit)

    def _make(self) -> Any:
        item = self.item
        if item is SEPARATOR:
            return Gtk.SeparatorMenuItem()
        kind = Gtk.MenuItem if item.checked is None else Gtk.CheckMenuItem
        widget = self.widget = kind.new_with_label(item.label)
        widget.set_sensitive(item.enabled)
        if item.is_default:
            self._set_label()
        if item.children:
            self._level = _Level(self._on_click)
            self._level.change(item.children, may_edit=True)
            # Only now: an entry of a submenu that is on the bus already would be announced one by one.
            widget.set_submenu(self._level.menu)
        else:
            self._activation = widget.connect("activate", self._activated)
            self._set_mark()
        return widget

    def _set_label(self) -> None:
        # The label of the item itself goes to the bus as it is, where an underscore marks a letter.
        label = self.widget.get_child()
        if self.item.is_default:
            label.set_markup(f"<b>{GLib.markup_escape_text(self.item.label)}</b>")
        else:
            label.set_text(self.item.label)

    def _set_mark(self) -> None:
        if self.item.checked is None or self.widget.get_active() == self.item.checked:
            return
        # Setting the mark is a click to GTK.
        self.widget.handler_block(self._activation)
        self.widget.set_active(self.item.checked)
        self.widget.handler_unblock(self._activation)

    def _activated(self, _: Any) -> None:
        # GTK has changed the mark already; it is to show what is, and that may be refused.
        self._set_mark()
        self._on_click(self.item)


def _shape(item: Item) -> _Shape:
    """What makes two items one entry: the rest of them can be changed in place."""
    return item.name, item is SEPARATOR, item.checked is not None, bool(item.children)
