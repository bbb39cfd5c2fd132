"""A small window for a text that nobody else shows: where no notification service is there, it must not be lost.

Everything here is on GTK's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gi

gi.require_version("Gdk", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import Gdk, GLib, Gtk, Pango  # noqa: E402 - only after the versions are chosen

import icons  # noqa: E402
from tray.menu import Command  # noqa: E402
from tray.toasts import Toast  # noqa: E402

_WIDTH_SIGNS = 48
_MARGIN = 18
_ALONE_SECONDS = 30


def show_alone(title: str, text: str) -> None:
    """Show the text until the window is closed, 30 s at most. On the main thread of a program without an icon."""
    if not Gtk.init_check(None)[0]:
        return
    window = TextWindow(lambda _: None)
    window.show(Toast(title, text))
    window.widget.connect("hide", lambda _: Gtk.main_quit())
    GLib.timeout_add_seconds(_ALONE_SECONDS, window.widget.hide)
    Gtk.main()


class TextWindow:
    """One window; a new text takes the place of the one before. Closing it hides it."""

    def __init__(self, on_command: Callable[[Command], None]) -> None:
        """`on_command` is called for what the button of a toast opens."""
        self._on_command = on_command
        self._opens: Command | None = None
        window = self.widget = Gtk.Window(title="Aura Ollama", resizable=False)
        window.set_icon_from_file(str(icons.path(icons.APP, 64)))
        window.set_position(Gtk.WindowPosition.CENTER)
        window.set_focus_on_map(False)
        window.set_keep_above(True)
        window.connect("delete-event", lambda *_: window.hide_on_delete())
        window.connect("key-press-event", self._close_by_key)
        self._title, self._text = Gtk.Label(xalign=0), Gtk.Label(xalign=0, selectable=True)
        for label in (self._title, self._text):
            label.set_line_wrap(True)
            # A path has no spaces.
            label.set_line_wrap_mode(Pango.WrapMode.WORD_CHAR)
            label.set_max_width_chars(_WIDTH_SIGNS)
        self._open, self._close = Gtk.Button(), Gtk.Button.new_with_mnemonic("_Close")
        self._open.set_no_show_all(True)
        self._open.connect("clicked", lambda _: self._open_and_close())
        self._close.connect("clicked", lambda _: window.hide())
        buttons = Gtk.Box(spacing=_MARGIN // 2, halign=Gtk.Align.END)
        for button in (self._open, self._close):
            buttons.pack_start(button, False, False, 0)
        rows = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=_MARGIN // 2, margin=_MARGIN)
        for row in (self._title, self._text, buttons):
            rows.pack_start(row, False, False, 0)
        window.add(rows)

    def show(self, toast: Toast) -> None:
        """Show the toast, in front of other windows but without taking the keyboard from them."""
        self._title.set_markup(f"<b>{GLib.markup_escape_text(toast.title)}</b>")
        self._text.set_text(toast.text)
        self._opens = toast.opens
        self._open.set_label(toast.button or "")
        self._open.set_visible(toast.button is not None)
        # A text that has the focus is selected, all of it.
        self._close.grab_focus()
        self.widget.show_all()

    def _open_and_close(self) -> None:
        self.widget.hide()
        if self._opens:
            self._on_command(self._opens)

    def _close_by_key(self, window: Any, event: Any) -> bool:
        if event.keyval == Gdk.KEY_Escape:
            window.hide()
        return False
