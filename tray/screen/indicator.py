"""pystray's AppIndicator icon with a menu that stays. For `icon` only."""

from __future__ import annotations

from pathlib import Path

from pystray._appindicator import AppIndicator, Icon

from tray.screen.gtk import QuietStart
from tray.screen.gtk_menu import LiveMenu


class IndicatorIcon(QuietStart, Icon):  # type: ignore[misc]  # pystray has no types
    """An icon whose `icon` is the path of an image. Hosts read that file themselves, so it has to stay."""

    def __init__(self, icon: Path, title: str, menu: LiveMenu) -> None:
        self._live_menu = menu
        super().__init__("aura-ollama", icon, title)

    def _show(self) -> None:
        self._appindicator.set_menu(self._live_menu.root)
        # The root as the hosts see it. No binding knows its type, which is no hindrance to hearing its signals.
        server = self._appindicator.get_property("dbus-menu-server")
        self._live_menu.watch(server.get_property("root-node"))
        self._update_title()
        self._update_icon()
        self._appindicator.set_status(AppIndicator.IndicatorStatus.ACTIVE)

    def _update_icon(self) -> None:
        self._icon_valid = True
        # The title is what a screen reader says of the image.
        self._appindicator.set_icon_full(str(self.icon), self.title)

    def _update_title(self) -> None:
        self._appindicator.set_title(self.title)
