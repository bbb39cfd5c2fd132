"""`aura-ollama status`. To be fast it imports as little as possible; tests/cli/test_imports.py counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli import exits, output, words
from cli.client import NoSidecar
from cli.common import client_of, paths_of, route
from core.settings.paths import DEFAULT_INSTANCE
from core.text import in_sentences, on_one_line

if TYPE_CHECKING:
    import argparse

    from cli.recorded import Recorded

_COLOURS = {"running": "green", "external": "green", "failed": "red", "backoff": "red", "not_installed": "yellow"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """It has none of its own."""


def run(options: argparse.Namespace) -> int:
    """Print what the sidecar knows; NOT_RUNNING if no Ollama runs. Without a sidecar, what the files tell."""
    try:
        answer = client_of(options).get(_place(options))
    except NoSidecar as error:
        return _without_sidecar(options, error)
    if options.json:
        output.document(answer.body)
    else:
        show(answer.json)
    return exits.DONE if answer.json["running"] else exits.NOT_RUNNING


def _place(options: argparse.Namespace) -> str:
    path = route(options, "status")
    # An instance is a resource of its own, whose representation is its status.
    return path if path == "/api/ollama/status" else path.removesuffix("/status")


def show(status: dict[str, Any]) -> None:
    """Print the status of one Ollama, for people."""
    state = status["state"]
    text = status.get("headline") or words.headline(state)
    output.line(output.styled(on_one_line(text).rstrip("."), "bold", *_colour(state)) + ".")
    reason = status.get("detail") or status["reason"]
    output.fields(
        [
            ("Address", status["baseUrl"]),
            ("Version", status["version"]),
            ("Process", _process(status)),
            ("Model", status["model"]),
            ("Program", status["installPath"]),
            ("Health", status.get("health")),
            ("Restarts", _restarts(status)),
            ("Why", in_sentences(reason, status.get("action")) if reason else status.get("action")),
            ("Settings", status["settingsError"] if status["settingsError"] != reason else None),
        ]
    )


def _colour(state: str) -> tuple[str, ...]:
    return (_COLOURS[state],) if state in _COLOURS else ()


def _restarts(status: dict[str, Any]) -> str | None:
    by_owner = status.get("ownerRestarts")
    told = [str(status["restarts"])] if status["restarts"] else []
    if by_owner:
        told.append(f"{by_owner} by its owner since it was last started on purpose")
    return "; ".join(told) or None


def _process(status: dict[str, Any]) -> str | None:
    if not status["pid"]:
        return status["owner"] or None
    if not status["managedByApp"]:
        return f"{status['pid']}, not started here"
    return f"{status['pid']}, {'taken over from an earlier run' if status['adopted'] else 'started here'}"


def _without_sidecar(options: argparse.Namespace, error: NoSidecar) -> int:
    from cli.recorded import all_recorded

    found = all_recorded(paths_of(options), options.instance)
    if options.json:
        output.as_json(
            {
                "success": False,
                "code": "no_sidecar",
                "message": error.message,
                "action": error.action,
                "instances": [_as_json(each) for each in found],
            }
        )
    else:
        for each in found:
            _show_recorded(each)
    output.complain(error.message, error.action)
    return exits.NO_SIDECAR


def _as_json(each: Recorded) -> dict[str, object]:
    return {
        "id": each.instance,
        "url": each.url,
        "pid": each.pid,
        "processLives": each.lives,
        "portAnswers": each.answers,
        "startedAt": each.started_at,
        "endedAt": each.ended_at,
        "reason": each.reason,
    }


def _show_recorded(each: Recorded) -> None:
    which = "Ollama" if each.instance == DEFAULT_INSTANCE else f"Ollama {each.instance}"
    output.line(on_one_line(f"No sidecar watches {which}. {_fate(each)}"))
    output.fields(
        [
            ("Address", f"{each.url}{_port_words(each.answers)}"),
            ("Process", str(each.pid) if each.lives else None),
            ("Started", words.local_time(each.started_at) if each.started_at else None),
            ("Ended", words.local_time(each.ended_at) if each.ended_at else None),
        ]
    )


def _fate(each: Recorded) -> str:
    if each.pid is None:
        return "None was started here, by what the data folder tells."
    if each.lives:
        return "The one that was started here lives, and the next sidecar takes it over."
    return f"The last one has ended{f' ({each.reason})' if each.reason else ''}."


def _port_words(answers: bool | None) -> str:
    if answers is None:
        return " (not on this machine; not asked)"
    return " (accepts connections)" if answers else " (nobody listens)"
