"""Changes single keys of the settings files; every other byte stays.

Writing blocks on the disk: call it from a thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from core.endpoint import Endpoint
from core.errors import ConfigError
from core.settings import file as settings_file
from core.settings import schema
from core.settings.json_text import Document
from core.settings.paths import Paths
from core.settings.schema import AuraSettings, Fault, SidecarSettings


def write_settings(paths: Paths, changes: Mapping[str, object]) -> None:
    """Change keys that we own in Aura's `settings.json`; null means the default. Every other byte stays.

    Names are those in the file. Blocks on the disk. Raises `ConfigError`, with the file as it was, if the file is
    damaged, would not be valid afterwards, or cannot be written, or if the new `ollamaUrl` makes no sense.
    """
    url = changes.get("ollamaUrl")
    if isinstance(url, str) and url.strip():
        Endpoint.parse(url)
    _write(paths.settings, AuraSettings, changes)


def write_sidecar(paths: Paths, changes: Mapping[str, object]) -> None:
    """The same for `ollama-sidecar.json`."""
    _write(paths.sidecar, SidecarSettings, changes)


def create_sidecar(paths: Paths) -> None:
    """Make `ollama-sidecar.json`, without any setting, if there is none. Blocks on the disk. Raises `ConfigError`."""
    try:
        with paths.sidecar.open("x", encoding="utf-8") as file:
            file.write("{\n}\n")
    except FileExistsError:
        return
    except OSError as error:
        raise ConfigError(f"{paths.sidecar} cannot be made: {error.strerror or error}") from error


def _write(path: Path, kind: type[msgspec.Struct], changes: Mapping[str, object]) -> None:
    names = schema.names(kind)
    for name in changes:
        if name not in names:
            raise ConfigError(f"`{name}` is no setting for {path.name}", action=f"Use one of {', '.join(names)}.")
    settings_file.rewrite(path, lambda target, text: _changed(target, kind, text, changes))


def _changed(path: Path, kind: type[msgspec.Struct], text: str, changes: Mapping[str, object]) -> str:
    """The text with those values in it, proved to differ in nothing else and to be valid. Raises `ConfigError`."""
    before = settings_file.parse(path, text)
    try:
        edited = before.edited(changes)
    except ValueError as error:
        raise ConfigError(f"a value cannot be written as JSON: {error}") from None
    after = settings_file.parse(path, edited)
    try:
        schema.convert(kind, after.values)
    except Fault as fault:
        if fault.keys[0] in changes:
            raise ConfigError(fault.message, action=fault.action) from None
        raise located(path, before, fault) from None
    if before.others(changes) != after.others(changes):
        raise ConfigError(f"{path} cannot be changed without touching other keys", action="Change it in an editor.")
    return edited


def located(path: Path, document: Document, fault: Fault) -> ConfigError:
    """The fault with file and line."""
    return ConfigError(f"{path}, line {document.line_of(fault.keys)}: {fault.message}", action=fault.action)
