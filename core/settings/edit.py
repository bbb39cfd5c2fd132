"""Changes single keys of the settings files; every other byte stays. All functions block on the disk."""

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
    """Change keys of `AuraSettings` in Aura's `settings.json`. Keys are named as in the file; null means the default.

    Blocks on the disk: call it from a thread. Raises `ConfigError` if the file is damaged, would be invalid afterwards
    or cannot be written, or if the new `ollamaUrl` is no address; then the file is unchanged.
    """
    url = changes.get("ollamaUrl")
    if isinstance(url, str) and url.strip():
        Endpoint.parse(url)
    _write(paths.settings, AuraSettings, changes)


def write_sidecar(paths: Paths, changes: Mapping[str, object]) -> None:
    """The same for the keys of `SidecarSettings` in `ollama-sidecar.json`."""
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

    def change(target: Path, text: str) -> str:
        """The text with those values. Checks that nothing else differs and that the result is valid."""
        before = settings_file.parse(target, text)
        try:
            edited = before.edited(changes)
        except ValueError as error:
            raise ConfigError(f"a value cannot be written as JSON: {error}") from None
        after = settings_file.parse(target, edited)
        try:
            schema.convert(kind, after.values)
        except Fault as fault:
            if fault.keys[0] in changes:
                raise ConfigError(fault.message, action=fault.action) from None
            raise located(target, before, fault) from None
        if before.others(changes) != after.others(changes):
            raise ConfigError(
                f"{target} cannot be changed without touching other keys", action="Change it in an editor."
            )
        return edited

    settings_file.rewrite(path, change)


def located(path: Path, document: Document, fault: Fault) -> ConfigError:
    """The fault as an error that names the file and the line."""
    return ConfigError(f"{path}, line {document.line_of(fault.keys)}: {fault.message}", action=fault.action)
