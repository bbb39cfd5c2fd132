"""Changes single keys of the settings files; every other byte stays. All functions block on the disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from core.endpoint import Endpoint
from core.errors import BadSetting, ConfigError
from core.settings import file as settings_file
from core.settings import schema
from core.settings.json_text import Document
from core.settings.owner import not_here
from core.settings.paths import Paths
from core.settings.schema import AuraSettings, Fault, SidecarSettings


def write_settings(paths: Paths, changes: Mapping[str, object]) -> None:
    """Change keys of `AuraSettings` in Aura's `settings.json`. Keys are named as in the file; null means the default.

    Blocks on the disk: call it from a thread. Raises `BadSetting` if a name or a value will not do, `ConfigError` if
    the file is damaged, would be invalid afterwards or cannot be written; then it is unchanged.
    """
    _write(paths.settings, AuraSettings, changes)


def write_sidecar(paths: Paths, changes: Mapping[str, object]) -> None:
    """The same for the keys of `SidecarSettings` in `ollama-sidecar.json`."""
    _write(paths.sidecar, SidecarSettings, changes)


def write_both(paths: Paths, aura: Mapping[str, object], sidecar: Mapping[str, object]) -> None:
    """Both of these, or neither where a value will not do or a file is damaged. A file without changes is not touched.

    A disk that fails between the two files leaves the first one changed.
    """
    both: list[tuple[Path, type[msgspec.Struct], Mapping[str, object]]] = [
        (paths.settings, AuraSettings, aura),
        (paths.sidecar, SidecarSettings, sidecar),
    ]
    todo = [(path, kind, changes) for path, kind, changes in both if changes]
    for path, kind, changes in todo:
        _edited(path, settings_file.load(path).text, kind, changes)
    for path, kind, changes in todo:
        _write(path, kind, changes)


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
    settings_file.rewrite(path, lambda target, text: _edited(target, text, kind, changes))


def _edited(path: Path, text: str, kind: type[msgspec.Struct], changes: Mapping[str, object]) -> str:
    """The text with those values. Checks that nothing else differs and that the result is valid."""
    names = schema.names(kind)
    for name in changes:
        if name not in names:
            raise BadSetting(f"`{name}` is no setting for {path.name}", action=f"Use one of {', '.join(names)}.")
    url = changes.get("ollamaUrl")
    if isinstance(url, str) and url.strip():
        try:
            Endpoint.parse(url)
        except ConfigError as error:
            raise BadSetting(error.message, action=error.action) from None
    before = settings_file.parse(path, text)
    try:
        edited = before.edited(changes)
    except ValueError as error:
        raise BadSetting(f"a value cannot be written as JSON: {error}") from None
    after = settings_file.parse(path, edited)
    try:
        settings = schema.convert(kind, after.values)
    except Fault as fault:
        if fault.keys[0] in changes:
            raise BadSetting(fault.message, action=fault.action) from None
        raise located(path, before, fault) from None
    if unfit := _unfit(settings, changes):
        raise BadSetting(unfit.message, action=unfit.action)
    if before.others(changes) != after.others(changes):
        raise ConfigError(f"{path} cannot be changed without touching other keys", action="Change it in an editor.")
    return edited


def _unfit(settings: msgspec.Struct, changes: Mapping[str, object]) -> Fault | ConfigError | None:
    """Why these settings will not do although each value has its form; None if that is not the changes' fault."""
    if not isinstance(settings, SidecarSettings):
        return None
    if "owner" in changes and (elsewhere := not_here(settings.owner)):
        return elsewhere
    # A file that exposes the sidecar already is no reason against a change of something else.
    return schema.exposure(settings) if not changes.keys().isdisjoint(("host", "requireToken")) else None


def located(path: Path, document: Document, fault: Fault) -> ConfigError:
    """The fault as an error that names the file and the line."""
    return ConfigError(f"{path}, line {document.line_of(fault.keys)}: {fault.message}", action=fault.action)
