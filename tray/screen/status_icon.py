"""pystray's X11 status icon of GTK with a menu that stays. For `icon` only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pystray._gtk import Icon

from tray.screen.gtk import QuietStart
from tray.screen.gtk_menu import LiveMenu


class StatusIcon(QuietStart, Icon):  # type: ignore[misc]  # pystray has no types
    """An icon whose `icon` is the path of an image."""

    def __init__(self, icon: Path, title: str, menu: LiveMenu) -> None:
        self._live_menu = menu
        # pystray pops this one up.
        self._menu_handle = menu.root
        super().__init__("aura-ollama", icon, title)

    def _show(self) -> None:
        self._update_title()
        self._status_icon.set_visible(True)

    def _update_icon(self) -> None:
        self._icon_valid = True
        self._status_icon.set_from_file(str(self.icon))

    def _update_title(self) -> None:
        self._status_icon.set_title(self.title)
        self._status_icon.set_tooltip_text(self.title)

    def _on_status_icon_activate(self, status_icon: Any) -> None:
        self._live_menu.choose_default()
