"""The submenu of the models: those that are used most recently, and what can be done with each."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from core.ollama.models import Model
from core.supervision.state import Status
from core.text import cut_name, isolated, size_text
from tray.menu.facts import Facts
from tray.menu.items import SEPARATOR, Act, Command, Item, note
from tray.menu.pulls import offers, same_model

MOST_MODELS = 20
NAME_UNITS = 34
_ALIKE_UNITS = 90
_NEVER = datetime.min.replace(tzinfo=UTC)


def models_item(facts: Facts) -> Item:
    """The entry with its submenu."""
    status = facts.status
    if not status.is_running:
        return Item("models", "Models", children=(note("none", "Ollama is not running"),))
    models = by_use(status, facts.recently_used)
    loaded = f", {count} loaded" if (count := len(dict.fromkeys(status.loaded))) else ""
    shown = models[:MOST_MODELS]
    items = _rows(shown, facts) or [note("none", "None is installed")]
    if more := len(models) - len(shown):
        items.append(Item("more", f"More… ({more})", Command(Act.OPEN_DASHBOARD)))
    items.append(SEPARATOR)
    if count:
        items.append(Item("unload all", "Unload all", Command(Act.UNLOAD_ALL), enabled=not status.error))
    items.append(offers(status.models))
    return Item("models", f"Models ({len(models)}{loaded})", children=tuple(items))


def by_use(status: Status, recently_used: tuple[str, ...] = ()) -> list[Model]:
    """All models: those in memory, then those that have been there of late, then the last changed first."""
    known = {model.name: model for model in status.models}
    in_memory = dict.fromkeys(status.loaded)
    of_late = [name for name in dict.fromkeys(recently_used) if name in known and name not in in_memory]
    first = [known.get(name, Model(name)) for name in (*in_memory, *of_late)]
    taken = {model.name for model in first}
    others = [model for model in known.values() if model.name not in taken]
    return first + sorted(others, key=_changed_at, reverse=True)


def _changed_at(model: Model) -> datetime:
    try:
        found = datetime.fromisoformat(model.modified_at)
    except ValueError:
        return _NEVER
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _rows(models: list[Model], facts: Facts) -> list[Item]:
    short = {model.name: cut_name(model.name, NAME_UNITS) for model in models}
    count = Counter(short.values())
    names = {name: isolated(cut if count[cut] == 1 else cut_name(name, _ALIKE_UNITS)) for name, cut in short.items()}
    return [_row(model, names[model.name], facts) for model in models]


def _row(model: Model, shown: str, facts: Facts) -> Item:
    status = facts.status
    is_loaded = model.name in status.loaded
    is_loading = model.name in facts.loading and not is_loaded
    mark = "● " if is_loaded else ""
    about = "loading…" if is_loading else size_text(model.size) if model.size else ""
    act = Act.UNLOAD if is_loaded else Act.LOAD
    is_aura_s = facts.aura_model is not None and same_model(model.name, facts.aura_model)
    label = "Unload from memory" if is_loaded else "Load into memory"
    children = (
        Item("load", label, Command(act, model.name), enabled=not status.error and not is_loading),
        Item("aura", "Set as Aura's model", Command(Act.USE_IN_AURA, model.name), checked=is_aura_s),
        Item("copy", "Copy name", Command(Act.COPY_NAME, model.name)),
    )
    return Item(f"model {model.name}", f"{mark}{shown}: {about}" if about else f"{mark}{shown}", children=children)
