"""`aura-ollama pull`: get a model, and show how far it is. The download is a job of the sidecar's.

So it goes on if this command ends first. Ctrl-C asks at a terminal whether it should; where nobody can be asked it goes
on, and that is said.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from cli import exits, output
from cli.ask import can_ask, confirmed
from cli.client import Failed, NoSidecar, escaped
from cli.common import client_of, route
from cli.parser import given
from cli.progress import progress_of
from cli.server_events import END
from core.text import on_one_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from cli.client import Client

_ENDED = ("done", "failed", "cancelled")
_ASK_SECONDS = 30.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which one."""
    parser.add_argument(
        "name", type=given, metavar="NAME", help="[host[:port]/][namespace/]model[:tag], such as llama3.2:3b"
    )


def run(options: argparse.Namespace) -> int:
    """Return once it is installed. FAILED if it is not: with Ollama's words, or because the download was cancelled.

    Raises Failed if it is refused at once, or if the sidecar is lost on the way.
    """
    client = client_of(options)
    before = _installed(options, client)
    path = route(options, f"models/{escaped(options.name)}/pull")
    begun = client.call("POST", path, headers={"Prefer": "respond-async"}, seconds=_ASK_SECONDS).json
    # A download that has ended by now is answered with how, and its job by name.
    id = str(begun.get("jobId") or begun["id"])
    try:
        job = _shown_to_its_end(client, id, options)
    except KeyboardInterrupt:
        _on_interrupt(client, id, options.name)
        raise
    except (NoSidecar, Failed) as error:
        if isinstance(error, Failed) and error.status is not None:
            raise
        raise Failed(error.message, "The download goes on once a sidecar runs again.") from None
    return _told(options, job, is_new=before is None or _installed(options, client) != before)


def _installed(options: argparse.Namespace, client: Client) -> set[tuple[str, str]] | None:
    """Names and digests of what is installed; None if that is not known."""
    body = client.get(route(options, "models")).json
    return None if body.get("error") else {(model["name"], model["digest"]) for model in body["models"]}


def _shown_to_its_end(client: Client, id: str, options: argparse.Namespace) -> dict[str, Any]:
    """The job once it has ended."""
    job: dict[str, Any] = {}
    with progress_of(options.name, is_json=options.json) as show:
        for job in _snapshots(client, id):
            show(job)
    return job


def _snapshots(client: Client, id: str) -> Iterator[dict[str, Any]]:
    """The job as it is, then each time that it changes, until it has ended. Raises NoSidecar or Failed."""
    job: dict[str, Any] = {"state": "queued"}
    while job["state"] not in _ENDED:
        with closing(client.events("/api/ollama/events?types=job", on_wait=output.catch_up)) as events:
            for event in events:
                if event.event == END:
                    break
                if event.event == "job":
                    found = event.body.get("job", {})
                    if found.get("id") != id:
                        continue
                    job = found
                elif event.event in ("hello", "gap"):
                    # What happened before the stream was open, or was dropped from it.
                    job = client.get(f"/api/ollama/jobs/{escaped(id)}").json
                else:
                    continue
                yield job
                if job["state"] in _ENDED:
                    break


def _on_interrupt(client: Client, id: str, name: str) -> None:
    """Leave the download going, or cancel it, as the person says; a second Ctrl-C leaves it."""
    keeps = True
    if can_ask():
        try:
            keeps = confirmed("\nLeave the download going?", otherwise=True)
        except KeyboardInterrupt:
            output.line()
    if keeps:
        output.note(f"The download goes on. `aura-ollama jobs cancel {name}` ends it, `aura-ollama jobs` shows it.")
        return
    client.call("DELETE", f"/api/ollama/jobs/{escaped(id)}", seconds=_ASK_SECONDS)
    output.note("The download is cancelled. What there is of it is kept for a later pull.")


def _told(options: argparse.Namespace, job: dict[str, Any], *, is_new: bool) -> int:
    """Say how it has ended; the exit code."""
    match job["state"]:
        case "done":
            if not options.json:
                words = "is installed." if is_new else "is installed already, and up to date."
                output.line(on_one_line(f"{options.name} {words}"))
            return exits.DONE
        case "failed":
            output.complain(f"Failed to pull model '{options.name}': {job['error']}")
        case _:
            output.complain(f"The download of '{options.name}' was cancelled.")
    return exits.FAILED
