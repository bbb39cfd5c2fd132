"""`aura-ollama jobs`: the downloads under way and those of the last day; `jobs cancel` ends one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cli import exits, output
from cli.client import Failed, escaped
from cli.common import client_of
from cli.moments import since
from cli.parser import Misused, given
from core.text import on_one_line

if TYPE_CHECKING:
    import argparse

    from cli.client import Client

_HEADERS = ("ID", "MODEL", "STATE", "HOW FAR", "BEGUN")
_PENDING = ("queued", "running")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What to do."""
    parser.add_argument("action", nargs="?", choices=("list", "cancel"), default="list", help="(default: list)")
    parser.add_argument(
        "job", nargs="?", type=given, metavar="JOB", help="for cancel: the id of a job, or the model that it pulls"
    )


def run(options: argparse.Namespace) -> int:
    """List them, or cancel one. Raises Failed if there is no such job, and Misused."""
    if (options.action == "cancel") != (options.job is not None):
        words = "needs a JOB, which `aura-ollama jobs` lists" if options.job is None else "takes no JOB"
        raise Misused(f"{options.action} {words}")
    client = client_of(options)
    return _cancel(options, client) if options.job else _list(options, client)


def _jobs(options: argparse.Namespace, client: Client) -> list[dict[str, Any]]:
    """Those that are listed, the newest first; of the instance that is asked for, if one is."""
    found: list[dict[str, Any]] = client.get("/api/ollama/jobs").json["jobs"]
    return [job for job in found if options.instance in (None, job["instance"])]


def _list(options: argparse.Namespace, client: Client) -> int:
    found = _jobs(options, client)
    if options.json:
        output.document(json.dumps({"jobs": found, "count": len(found)}).encode())
    elif found:
        rows = [(job["id"], job["model"], job["state"], job["message"], since(job["startedAt"])) for job in found]
        output.table(_HEADERS, rows)
    else:
        output.note("There is no download, and was none within a day.")
    return exits.DONE


def _cancel(options: argparse.Namespace, client: Client) -> int:
    try:
        answer = client.call("DELETE", f"/api/ollama/jobs/{escaped(_id_of(options, client))}", seconds=30.0)
    except Failed as error:
        if error.code == "no_such_job":
            error.action = "`aura-ollama jobs` lists all that there are."
        raise
    model, state = answer.json["model"], answer.json["state"]
    if options.json:
        output.document(answer.body)
    elif state == "cancelled":
        output.line(on_one_line(f"The download of {model} is cancelled. What there is of it is kept for a later pull."))
    if state != "cancelled":
        output.complain(f"The download of {model} had ended already: {state}.")
    return exits.DONE if state == "cancelled" else exits.FAILED


def _id_of(options: argparse.Namespace, client: Client) -> str:
    """The id that is meant: of the job under way that pulls that model, else what was typed."""
    wanted = options.job
    names = (wanted, f"{wanted}:latest")
    found = [job["id"] for job in _jobs(options, client) if job["model"] in names and job["state"] in _PENDING]
    if len(found) > 1:
        raise Failed(f"{len(found)} jobs pull {wanted}.", "Give the id of one.")
    return found[0] if found else str(wanted)
