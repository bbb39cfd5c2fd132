"""Toasts that answer a click from what is known already. Pure."""

from __future__ import annotations

from pathlib import Path

from core import __version__
from core.supervision.state import Status
from core.supervision.told import detail, headline
from core.text import in_sentences, isolated
from tray.menu import Act, Command, Facts, sentence
from tray.toasts import Toast


def about(facts: Facts, data: Path) -> Toast:
    """What this program is, which Ollama there is, and where everything lies; a line for each."""
    status = facts.status
    ollama = f"{headline(status)} (pid {status.pid})" if status.pid else headline(status)
    lines = (f"Version {__version__}", ollama, f"Sidecar at {facts.api_url}", f"Data in {isolated(str(data))}")
    return Toast("Aura Ollama", "\n".join(lines), opens=Command(Act.OPEN_DATA), has_lines=True)


def whole_status(status: Status) -> Toast:
    """The status with all its particulars, and the way out of a failure."""
    is_failure = status.failure is not None and detail(status) == status.failure.message
    way_out = status.failure.action if status.failure and is_failure else None
    return Toast("Aura Ollama", in_sentences(sentence(status), way_out))


def how_to_stop(status: Status) -> Toast:
    """Whose an Ollama is that was not started here, and how its owner can end it."""
    whose = f"It belongs to {isolated(status.owner)}." if status.owner else "Whose it is cannot be seen."
    return Toast("Not Started Here", f"{whose} {status.by_hand or 'Stop it where it was started.'}")


def settings_problem(status: Status) -> Toast:
    """What is wrong with the settings files, in full."""
    return Toast("Settings", status.settings_problem or "They can be read again.")
