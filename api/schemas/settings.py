"""The bodies of the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from core.settings.listing import listed
from core.settings.reader import Reading


class SettingBody(msgspec.Struct, frozen=True, rename="camel"):
    """One setting: `value` is in force. `expected` says in words what is accepted; `least` and `most` are of numbers.

    `kind` is text, switch, whole, number, list or object. A change `takes_effect` at_once, or at the next start of
    Ollama (ollama_start) or of the sidecar (sidecar_start). With `needs_token` only a call with the token changes it.
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
    needs_token: bool


class SettingsProblemBody(msgspec.Struct, frozen=True):
    """Why what is in force is not what the files say."""

    message: str
    action: str | None


class SettingsBody(msgspec.Struct, frozen=True):
    """GET and PUT /api/ollama/settings. Secrets are starred."""

    settings: list[SettingBody]
    problem: SettingsProblemBody | None


class SettingsChangesBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /api/ollama/settings: values by name; null means the default. What comes back as it was shown stays."""

    changes: Annotated[dict[str, Any], Meta(max_length=100)] = {}


def settings_body(reading: Reading, needs_token: Callable[[str], bool]) -> SettingsBody:
    """The wire's view of what is in force."""
    problem = reading.problem
    return SettingsBody(
        [
            SettingBody(
                *(each.key, each.file, each.value, each.default, each.kind, each.least, each.most, each.expected),
                each.takes_effect,
                needs_token(each.key),
            )
            for each in listed(reading.settings)
        ],
        SettingsProblemBody(problem.message, problem.action) if problem else None,
    )
