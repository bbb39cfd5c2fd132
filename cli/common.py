"""What most commands begin with: the data folder and the sidecar that the common options name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.client import Client, Failed, escaped
from core.settings.paths import DEFAULT_INSTANCE, Paths

if TYPE_CHECKING:
    import argparse


def paths_of(options: argparse.Namespace) -> Paths:
    """The data folder that is meant: `--data-dir`, else `$AURA_DATA_PATH`, else the user's own."""
    return Paths.find(options.data_dir)


def client_of(options: argparse.Namespace) -> Client:
    """The sidecar that serves it. Raises NoSidecar, and Failed if it has no such instance as `--instance` names."""
    client = Client.find(paths_of(options))
    if options.instance not in (None, DEFAULT_INSTANCE):
        known = [each["id"] for each in client.get("/api/ollama/instances").json["instances"]]
        if options.instance not in known:
            message = f"There is no instance {options.instance!r}."
            raise Failed(message, f"Use one of {', '.join(known)}.", code="no_such_instance")
    return client


def route(options: argparse.Namespace, tail: str) -> str:
    """The path of a call about one Ollama, such as `start`: the one that `--instance` names, else `default`."""
    if options.instance in (None, DEFAULT_INSTANCE):
        return f"/api/ollama/{tail}"
    return f"/api/ollama/instances/{escaped(options.instance)}/{tail}"
