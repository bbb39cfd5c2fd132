"""From what is known to what the tray shows: one look, one tooltip, one list of items. Pure; knows no toolkit.

- `view`: `view(facts)` is the one way from `Facts` to a `View`; `bare_view` is for facts that cannot be shown.
- `items`: `Item`, `Command` and `Act`, of which a menu is made. `models` and `pulls`: the entries of these.
- `look`: which image the icon shows.
- `told`: the status in words that fit.
"""

from tray.menu.facts import Facts
from tray.menu.items import LABEL_UNITS, SEPARATOR, TOOLTIP_UNITS, Act, Command, Item
from tray.menu.look import Look
from tray.menu.models import MOST_MODELS
from tray.menu.told import sentence
from tray.menu.view import View, bare_view, view

__all__ = [
    "LABEL_UNITS",
    "MOST_MODELS",
    "SEPARATOR",
    "TOOLTIP_UNITS",
    "Act",
    "Command",
    "Facts",
    "Item",
    "Look",
    "View",
    "bare_view",
    "sentence",
    "view",
]
