"""Checks of the models: are those that the settings name installed, and can their folder be used?"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from core.doctor.case import READ_SECONDS, Case
from core.doctor.finding import Finding, NotChecked, Severity
from core.errors import BadModelName
from core.jobs.disk_room import free_bytes
from core.metrics.weights import manifest_place
from core.models.recommended import RECOMMENDED
from core.ollama.call import CallFailed
from core.ollama.model_name import ModelName
from core.platform.volume import volume_of
from core.text import size_text
from core.threads.single_flight import within

_LIST_SECONDS = 1.5
_FULL_BYTES = 64 << 20


async def named(case: Case) -> Iterable[Finding]:
    """The models that the settings name are installed."""
    settings = await case.settings()
    canary = settings.sidecar.canary
    wanted = {"ollamaModel": settings.ollama_model, "canary.model": canary.model if canary else None}
    found = []
    for key, text in wanted.items():
        if not text:
            continue
        try:
            name = ModelName.parse(text)
        except BadModelName as error:
            found.append(Finding.of(error))
            continue
        if not await _is_installed(case, name):
            found.append(
                Finding(
                    "model_not_installed",
                    Severity.BROKEN,
                    "Model not installed",
                    f"`{key}` is {text}, which is not installed.",
                    f"Pull it with: aura-ollama pull {name}{case.paths.option}",
                )
            )
    return found


async def _is_installed(case: Case, name: ModelName) -> bool:
    if await case.is_answering():
        async with case.client(await case.endpoint()) as client:
            try:
                listed = await client.tags(_LIST_SECONDS)
            except CallFailed as error:
                raise NotChecked(f"Ollama does not list its models: {error}") from None
        return any(name.covers(model.name) for model in listed.models)
    manifest = await case.models_folder.get() / "manifests" / manifest_place(str(name))

    def look() -> bool:
        if name.has_own_tag:
            return manifest.is_file()
        with suppress(FileNotFoundError, NotADirectoryError):
            return any(manifest.parent.iterdir())
        return False

    return await within(READ_SECONDS, "manifest", look)


async def folder(case: Case) -> Iterable[Finding]:
    """The folder of the models can be read and written, and has room for one more."""
    place = await case.models_folder.get()
    found = await within(READ_SECONDS, "models folder", lambda: _why_unusable(place))
    if found is not None:
        return [found]
    free = await within(READ_SECONDS, "models disk", lambda: free_bytes(place))
    least = min(model.size_bytes for model in RECOMMENDED)
    if free >= least:
        return []
    is_full = free < _FULL_BYTES
    return [
        Finding(
            "models_disk_full" if is_full else "models_disk_nearly_full",
            Severity.BROKEN if is_full else Severity.WARNING,
            "The disk of the models is full" if is_full else "There is no room for another model",
            f"The disk that holds {place} has {size_text(free)} free; the smallest of the recommended models takes "
            f"{size_text(least)}.",
            f"Make room there, delete a model (aura-ollama rm NAME{case.paths.option}), or set OLLAMA_MODELS in `env` "
            "of ollama-sidecar.json to a folder on another disk.",
        )
    ]


def _why_unusable(place: Path) -> Finding | None:
    def broken(why: str, at: Path, severity: Severity = Severity.BROKEN) -> Finding:
        way_out = (
            f"Make {at} yours and writable, or set OLLAMA_MODELS in `env` of ollama-sidecar.json to another folder."
        )
        return Finding("models_folder", severity, "The folder of the models cannot be used", why, way_out)

    try:
        there = next((each for each in (place, *place.parents) if each.exists()), place)
        is_folder = there.is_dir()
    except PermissionError:
        # It lies in a folder that this user may not enter.
        return broken(f"{place} may not be read by this user.", place)
    if not is_folder:
        return broken(f"{place} cannot be used: {there} is not a folder.", there)
    if not os.access(there, os.R_OK | os.X_OK):
        return broken(f"{there} may not be read by this user.", there)
    for below in (there, place / "blobs", place / "manifests") if there == place else (there,):
        if below.exists() and not os.access(below, os.W_OK | os.X_OK):
            volume = volume_of(str(below))
            why = "its disk is mounted read-only" if volume and volume.is_read_only else "this user has no right to"
            # What is installed works all the same, if there is anything.
            severity = Severity.WARNING if there == place else Severity.BROKEN
            return broken(
                f"{below} cannot be written: {why}. Models can be neither pulled nor deleted.", below, severity
            )
    return None
