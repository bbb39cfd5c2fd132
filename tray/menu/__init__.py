"""From what is known to what the tray shows: one look, one tooltip, one list of items. Pure; knows no toolkit.

- `view`: `view(facts)` is the one way from `Facts` to a `View`; `bare_view` is for facts that cannot be shown.
- `items`: `Item`, `Command` and `Act`, of which a menu is made. `models` and `pulls`: the entries of these.
- `look`: which image the icon shows.
- `told`: the status in words. `words`: texts that fit: cut, on one line, safe to show.
"""

from tray.menu.facts import Facts
from tray.menu.items import SEPARATOR, Act, Command, Item
from tray.menu.look import Look
from tray.menu.models import MOST_MODELS
from tray.menu.told import detail, headline, sentence
from tray.menu.view import View, bare_view, view
from tray.menu.words import LABEL_UNITS, TOOLTIP_UNITS, cut_name, isolated, shorten, shorten_lines, units

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
    "cut_name",
    "detail",
    "headline",
    "isolated",
    "sentence",
    "shorten",
    "shorten_lines",
    "units",
    "view",
]
