"""The lines of the pulls under way, and what there is to pull."""

from __future__ import annotations

from collections.abc import Sequence

from core.jobs.job import Job, JobState
from core.models.recommended import RECOMMENDED
from core.ollama.models import Model
from core.text import cut_name, isolated, shorten, size_text
from tray.menu.items import LABEL_UNITS, SEPARATOR, Act, Command, Item, note

MOST_LINES = 3
_NAME_UNITS = 24


def pull_lines(pulls: Sequence[Job]) -> list[Item]:
    """A line for each pull under way, three at most, with what goes on and the way to cancel it."""
    items = [_line(job) for job in pulls[:MOST_LINES]]
    if more := len(pulls) - len(items):
        items.append(note("more pulls", f"and {more} more on their way"))
    return items


def in_tooltip(pulls: Sequence[Job]) -> str:
    """The first pull, for the end of a tooltip; empty if there is none."""
    return f"; {_told(pulls[0])}" if pulls else ""


def offers(models: Sequence[Model]) -> Item:
    """What there is to pull: the recommended models that are not installed, and where the others are."""
    items = [
        Item(f"pull {one.name}", f"{one.display_name}: {one.size}", Command(Act.PULL, one.name))
        for one in RECOMMENDED
        if not any(same_model(one.name, model.name) for model in models)
    ]
    others = Item("find models", "Other models…", Command(Act.FIND_MODELS))
    return Item("pull", "Pull a model", children=(*items, SEPARATOR, others) if items else (others,))


def same_model(one: str, other: str) -> bool:
    """Whether both names mean one model: without a tag, Ollama takes `latest`."""
    return _with_tag(one) == _with_tag(other)


def _with_tag(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _line(job: Job) -> Item:
    step = note("step", shorten(job.step, LABEL_UNITS))
    cancel = Item("cancel", "Cancel", Command(Act.CANCEL_PULL, job.id))
    return Item(f"pulling {job.id}", f"P{_told(job)[1:]}", children=(step, cancel))


def _told(job: Job) -> str:
    name = isolated(cut_name(job.model, _NAME_UNITS))
    if job.state is JobState.QUEUED:
        return f"pulling {name}: waiting"
    return f"pulling {name}: {job.percent} %" + (f" of {size_text(job.total)}" if job.total else "")
