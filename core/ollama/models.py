"""What an Ollama tells of its models: those installed, those in memory, and one in full. Bounded here; pure.

One odd entry never spoils a list: a field that is none gets its default, a row without a usable name is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from core.ollama.answers import NULL, Answer, decoded
from core.ollama.call import BadAnswer
from core.ollama.decode import from_json, text, whole_number

MOST_MODELS = 10_000
MOST_LOADED = 100
_NAME_LENGTH = 256
_TEXT_LENGTH = 64
_DIGEST_LENGTH = 80
_LONG_TEXT_LENGTH = 256 << 10
_NO_RAWS: dict[str, msgspec.Raw] = {}


class Model(msgspec.Struct, frozen=True):
    """One installed model. `size` is in bytes, 0 if not known; the texts are empty then.

    `modified_at` is RFC 3339, `parameters` such as `3.2B`, `quantization` such as `Q4_K_M`.
    """

    name: str
    size: int = 0
    modified_at: str = ""
    digest: str = ""
    family: str = ""
    parameters: str = ""
    quantization: str = ""


class LoadedModel(msgspec.Struct, frozen=True):
    """One model in memory, which takes `size` bytes, `size_vram` of them on graphics processors.

    It is unloaded at `expires_at` (RFC 3339) unless it is used before; empty if not known. `context` is the length of
    its context in tokens, None where Ollama does not tell (before 0.11).
    """

    name: str
    size: int = 0
    size_vram: int = 0
    expires_at: str = ""
    context: int | None = None


class ShownModel(msgspec.Struct, frozen=True):
    """What `/api/show` tells of one model, at most 256 Ki characters of each text; empty for what it does not.

    `parameters` has one a line, name and value. `context` is how many tokens the model was made for, 0 if not known.
    """

    parameters: str = ""
    modelfile: str = ""
    context: int = 0


M = TypeVar("M", Model, LoadedModel)


@dataclass(frozen=True, slots=True)
class ModelList(Generic[M]):
    """The models that a server lists. `left_out` counts those beyond the limit and those without a usable name."""

    models: tuple[M, ...] = ()
    left_out: int = 0


class _Models(Answer):
    models: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET


class _Row(msgspec.Struct):
    name: msgspec.Raw = NULL
    size: msgspec.Raw = NULL
    modified_at: msgspec.Raw = NULL
    digest: msgspec.Raw = NULL
    details: msgspec.Raw = NULL
    size_vram: msgspec.Raw = NULL
    expires_at: msgspec.Raw = NULL
    context_length: msgspec.Raw = NULL


class _Details(msgspec.Struct):
    family: msgspec.Raw = NULL
    parameter_size: msgspec.Raw = NULL
    quantization_level: msgspec.Raw = NULL


class _Shown(Answer):
    parameters: msgspec.Raw = NULL
    modelfile: msgspec.Raw = NULL
    model_info: msgspec.Raw = NULL


def installed(body: bytes) -> ModelList[Model]:
    """The list of `/api/tags`, cut to 10,000 models; that many take some 50 ms. Raises `CallFailed`."""
    return _listed(body, MOST_MODELS, _model)


def in_memory(body: bytes) -> ModelList[LoadedModel]:
    """The list of `/api/ps`, cut to 100 models. Raises `CallFailed`."""
    return _listed(body, MOST_LOADED, _loaded)


def shown(body: bytes) -> ShownModel:
    """The answer of `/api/show`. Raises `CallFailed`."""
    answer = decoded(body, _Shown)
    facts = _struct(answer.model_info, dict[str, msgspec.Raw], _NO_RAWS)
    lengths = (whole_number(value) for name, value in facts.items() if name.endswith(".context_length"))
    return ShownModel(
        _long_text(answer.parameters), _long_text(answer.modelfile), next((each for each in lengths if each), 0)
    )


def _listed(body: bytes, most: int, of_row: Callable[[str, _Row], M]) -> ModelList[M]:
    rows = decoded(body, _Models).models
    if rows is msgspec.UNSET:
        raise BadAnswer("It lists no models.")
    found = [of_row(*row) for raw in (rows or [])[:most] if (row := _named(raw))]
    return ModelList(tuple(found), len(rows or []) - len(found))


def _named(raw: msgspec.Raw) -> tuple[str, _Row] | None:
    """A row and its name; None if nobody could call the model by it: it has none, or one that does not print."""
    try:
        row = from_json(raw, _Row)
        name = from_json(row.name, str)
    except msgspec.MsgspecError:
        return None
    return (name, row) if 1 <= len(name) <= _NAME_LENGTH and name.isprintable() else None


def _model(name: str, row: _Row) -> Model:
    details = _struct(row.details, _Details, _Details())
    return Model(
        name,
        whole_number(row.size),
        text(row.modified_at, _TEXT_LENGTH),
        text(row.digest, _DIGEST_LENGTH),
        text(details.family, _TEXT_LENGTH),
        text(details.parameter_size, _TEXT_LENGTH),
        text(details.quantization_level, _TEXT_LENGTH),
    )


def _loaded(name: str, row: _Row) -> LoadedModel:
    return LoadedModel(
        name,
        whole_number(row.size),
        whole_number(row.size_vram),
        text(row.expires_at, _TEXT_LENGTH),
        whole_number(row.context_length) or None,
    )


T = TypeVar("T")


def _struct(raw: msgspec.Raw, shape: type[T], otherwise: T) -> T:
    try:
        return from_json(raw, shape)
    except msgspec.MsgspecError:
        return otherwise


def _long_text(raw: msgspec.Raw) -> str:
    """A text of several lines. What does not print in it is left to whoever shows it."""
    return _struct(raw, str, "")[:_LONG_TEXT_LENGTH]
