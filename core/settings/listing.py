"""All settings as a form would show them: value in force, default, limits; and a form's answer as changes. Pure.

Secrets are starred on the way out. What comes back exactly as it was shown stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import inspect

from core.endpoint import redacted
from core.errors import BadSetting
from core.logs.redact import Redactor, secrets_of
from core.settings import schema
from core.settings.reader import Settings
from core.settings.schema import AuraSettings, SidecarSettings


@dataclass(frozen=True, slots=True)
class Listed:
    """One setting. `key` is its name in the file named `file`; `value` and `default` are as JSON has them.

    `kind` is text, switch, whole (number), number, list or object; `least` and `most` are the limits of numbers, None
    where there is none. `expected` says in words what is accepted. `takes_effect` is at_once, ollama_start (when an
    Ollama is started) or sidecar_start (when the sidecar is).
    """

    key: str
    file: str
    value: Any
    default: Any
    kind: str
    least: float | None
    most: float | None
    expected: str
    takes_effect: str


def listed(settings: Settings) -> list[Listed]:
    """All settings, those of Aura's file first."""
    return [
        *_listed(AuraSettings(), settings, "settings.json"),
        *_listed(SidecarSettings(), settings.sidecar, "ollama-sidecar.json"),
    ]


def changes_of(answer: Mapping[str, object], settings: Settings) -> tuple[dict[str, object], dict[str, object]]:
    """The changes of both files that a form's answer asks for, Aura's first. Raises BadSetting for an unknown name."""
    shown = {each.key: each.value for each in listed(settings)}
    for key in answer:
        if key not in shown:
            raise BadSetting(f"There is no setting `{_short(key)}`.", action=f"Use any of {', '.join(shown)}.")
    changes = {key: value for key, value in answer.items() if value is None or not _is_same(value, shown[key])}
    env = changes.get("env")
    if isinstance(env, dict):
        starred = shown["env"]
        changes["env"] = {
            name: settings.sidecar.env[name] if name in starred and text == starred[name] else text
            for name, text in env.items()
        }
    aura = set(schema.names(AuraSettings))
    return (
        {key: value for key, value in changes.items() if key in aura},
        {key: value for key, value in changes.items() if key not in aura},
    )


def _listed(defaults: msgspec.Struct, values: object, file: str) -> list[Listed]:
    found = []
    for field in msgspec.structs.fields(type(defaults)):
        value = _shown(field.encode_name, msgspec.to_builtins(getattr(values, field.name)))
        default = msgspec.to_builtins(getattr(defaults, field.name))
        kind, least, most = _kind(inspect.type_info(field.type))
        expected = field.type.__metadata__[0].description
        effect = _takes_effect(field.encode_name)
        found.append(Listed(field.encode_name, file, value, default, kind, least, most, expected, effect))
    return found


def _takes_effect(key: str) -> str:
    if key in schema.AT_OUR_START:
        return "sidecar_start"
    return "ollama_start" if key in schema.AT_OLLAMAS_START else "at_once"


def _shown(key: str, value: Any) -> Any:
    if key == "ollamaUrl":
        return redacted(value)
    if key == "env":
        star = Redactor(secrets_of(value))
        return {
            name: star(text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")
            for name, text in value.items()
        }
    return list(value) if isinstance(value, tuple) else value


def _kind(info: inspect.Type) -> tuple[str, float | None, float | None]:
    match info:
        case inspect.Metadata(type=inner):
            return _kind(inner)
        case inspect.UnionType(types=members):
            # Each of them is that or null.
            return _kind(next(member for member in members if not isinstance(member, inspect.NoneType)))
        case inspect.BoolType():
            return "switch", None, None
        case inspect.IntType(ge=least, le=most):
            return "whole", least, most
        case inspect.FloatType(ge=least, gt=above, le=most):
            return "number", least if least is not None else above, most
        case inspect.StrType():
            return "text", None, None
        case inspect.VarTupleType() | inspect.ListType():
            return "list", None, None
    return "object", None, None


def _is_same(value: object, shown: object) -> bool:
    # In Python `True == 1`.
    return type(value) is type(shown) and value == shown


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"
