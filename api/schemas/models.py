"""The bodies of models."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from core.models.models import Changed, LoadedModels
from core.models.recommended import RECOMMENDED
from core.ollama.models import Model, ShownModel
from core.supervision.state import ModelsNews
from core.text import size_text

_CONTEXT_SET = re.compile(r"^num_ctx\s+(\d{1,9})\s*$", re.MULTILINE)
# What the Aura app takes for a model that does not tell.
_CONTEXT_OTHERWISE = 2048


class ModelBody(msgspec.Struct, frozen=True, rename="camel"):
    """One installed model; `size` for people, `size_bytes` for programs. Null is what Ollama does not tell."""

    name: str
    size: str
    size_bytes: int
    modified_at: str
    size_formatted: str
    digest: str | None
    family: str | None
    parameter_size: str | None
    quantization_level: str | None


class ModelsBody(msgspec.Struct, frozen=True):
    """GET /api/ollama/models. While Ollama does not answer, `error` says why, and the list may be an earlier one."""

    models: list[ModelBody]
    count: int
    error: str | None = None


class RecommendedModelBody(msgspec.Struct, frozen=True, rename="camel"):
    """A model that is worth pulling; `size` for people, `size_bytes` for programs."""

    name: str
    display_name: str
    description: str
    size: str
    size_bytes: int
    is_recommended: bool


class RecommendedModelsBody(msgspec.Struct, frozen=True):
    """GET /api/ollama/models/recommended."""

    models: list[RecommendedModelBody]


class ModelInfoBody(msgspec.Struct, frozen=True, rename="camel"):
    """GET /api/ollama/models/{model}/info. `parameters` has one a line, name and value.

    `context_window` is in tokens: what the model's parameters set, else what it was made for, else 2048.
    """

    name: str
    parameters: str | None
    modelfile: str | None
    context_window: int


class ModelAvailableBody(msgspec.Struct, frozen=True, rename="camel"):
    """GET /api/ollama/models/{model}/available. `error` says why the answer may be out of date, if it may."""

    model_name: str
    is_available: bool
    error: str | None = None


class ModelChangedBody(msgspec.Struct, frozen=True, rename="camel"):
    """What came of a load, an unload or a delete. Without `success` it goes on, as `message` says."""

    success: bool
    message: str
    model_name: str


class QuestionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /api/ollama/models/{model}/ask: what the model is asked."""

    question: Annotated[str, Meta(min_length=1, max_length=4000)] = "Say hello in one sentence."


class AnsweredBody(msgspec.Struct, frozen=True, rename="camel"):
    """What a model has answered, which is untrusted text; cut after 100 tokens."""

    success: bool
    model_name: str
    answer: str


class LoadedModelBody(msgspec.Struct, frozen=True, rename="camel"):
    """One model in memory; sizes for people and, as bytes, for programs. Null is what Ollama does not tell.

    `size_vram` is how much of `size` is on graphics processors; `context` is in tokens.
    """

    name: str
    size: str
    size_bytes: int
    size_vram: str
    size_vram_bytes: int
    expires_at: str | None
    context: int | None
    instance: str


class LoadedModelsBody(msgspec.Struct, frozen=True):
    """GET /api/ollama/models/loaded. While an Ollama does not answer, `error` says why."""

    models: list[LoadedModelBody]
    count: int
    error: str | None = None


def models_body(news: ModelsNews) -> ModelsBody:
    """The wire's view of Ollama's list."""
    rows = [_model_body(model) for model in news.models]
    return ModelsBody(rows, len(rows), news.error)


def _model_body(model: Model) -> ModelBody:
    size = size_text(model.size)
    return ModelBody(
        name=model.name,
        size=size,
        size_bytes=model.size,
        modified_at=utc_text(model.modified_at),
        size_formatted=size,
        digest=model.digest or None,
        family=model.family or None,
        parameter_size=model.parameters or None,
        quantization_level=model.quantization or None,
    )


def recommended_body() -> RecommendedModelsBody:
    """The models that Aura recommends."""
    return RecommendedModelsBody(
        [
            RecommendedModelBody(
                each.name, each.display_name, each.description, each.size, each.size_bytes, each.is_recommended
            )
            for each in RECOMMENDED
        ]
    )


def info_body(name: str, shown: ShownModel) -> ModelInfoBody:
    """The wire's view of one model."""
    found = _CONTEXT_SET.search(shown.parameters)
    context = int(found[1]) if found else shown.context or _CONTEXT_OTHERWISE
    return ModelInfoBody(name, shown.parameters or None, shown.modelfile or None, context)


def changed_body(changed: Changed) -> ModelChangedBody:
    """The wire's view of what came of a wish."""
    return ModelChangedBody(changed.is_done, changed.message, changed.model)


def loaded_body(found: list[LoadedModels]) -> LoadedModelsBody:
    """What all instances have in memory. Of several errors the first is told."""
    rows = [
        LoadedModelBody(
            name=model.name,
            size=size_text(model.size),
            size_bytes=model.size,
            size_vram=size_text(model.size_vram),
            size_vram_bytes=model.size_vram,
            expires_at=utc_text(model.expires_at) or None,
            context=model.context,
            instance=each.instance,
        )
        for each in found
        for model in each.models
    ]
    return LoadedModelsBody(rows, len(rows), next((each.error for each in found if each.error), None))


def utc_text(timestamp: str) -> str:
    """An RFC 3339 time in UTC with whole seconds; what is no such time is passed on as it is."""
    try:
        moment = datetime.fromisoformat(timestamp)
        if moment.tzinfo is None:
            return timestamp
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return timestamp
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
