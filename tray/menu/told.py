"""The status in words that fit the tray."""

from __future__ import annotations

import re

from core.supervision.state import Status
from core.supervision.told import detail, headline
from core.text import cut_name, in_sentences, isolated

_MOST_NAMES = 10
_TOOLTIP_NAME_UNITS = 60
# " (pid 7)" and " (pid 7, user bob)", as `core.ollama.listener` says whose a port is.
_PID = re.compile(r" \(pid \d+(?:, (user [^()]*))?\)")
_ENDED = re.compile(r"Ollama (?:ended with exit code|was ended by) \S+: ")
# Who is killed cannot say why: its last words are about something else.
_KILLED = re.compile(r"(Ollama was ended by SIGKILL): .*", re.DOTALL)


def detail_in_short(status: Status) -> str | None:
    """The detail for a narrow line: without process numbers, and without what the headline has said already."""
    text = detail(status)
    if not text:
        return None
    text = _ENDED.sub("", _KILLED.sub(r"\1", text))
    return _PID.sub(lambda found: f" ({found[1]})" if found[1] else "", text)


def sentence(status: Status) -> str:
    """All that there is to say, in one or two sentences. `headline` comes first."""
    return _sentence(status, detail(status))


def sentence_in_short(status: Status) -> str:
    """The same for a narrow place, with the detail in short."""
    return _sentence(status, detail_in_short(status))


def _sentence(status: Status, told: str | None) -> str:
    if told:
        return in_sentences(headline(status), told)
    loaded = [isolated(cut_name(name, _TOOLTIP_NAME_UNITS)) for name in status.loaded[:_MOST_NAMES]]
    return f"{headline(status)}, {', '.join(loaded)} loaded" if loaded and status.is_running else headline(status)
