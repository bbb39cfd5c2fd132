"""States, times and spans in words. Sizes are `core.text.size_text`, as the tray says them."""

from __future__ import annotations

STATES = {
    "unknown": "Ollama has not been looked at yet",
    "not_installed": "Ollama is not installed",
    "stopped": "Ollama is stopped",
    "external": "Ollama is running; it was not started here",
    "starting": "Ollama is starting",
    "running": "Ollama is running",
    "stopping": "Ollama is stopping",
    "backoff": "Ollama crashed, and is about to be started again",
    "failed": "Ollama failed",
}
"""By the API's name of the state."""
UNKNOWN = "–"
"""In place of what is not known, which is not 0."""


def headline(state: str) -> str:
    """The state in words. A later sidecar may know more states than we do."""
    return STATES.get(state, f"Ollama is {state}")


def local_time(text: str) -> str:
    """A time of the API (ISO 8601, UTC) by the clock of this place; `text` itself if it is no such time."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return text


def span(seconds: float | None) -> str:
    """How long something took or has been going on, in two units at most: `0.35 s`, `12 s`, `3 min 5 s`, `2 d 4 h`."""
    if seconds is None:
        return UNKNOWN
    if seconds < 10:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + " s"
    whole = round(seconds)
    for size, name, below, smaller in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"
