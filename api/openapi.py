"""The OpenAPI 3.1 description, made from the one route table and the wire's own types, so that it cannot drift.

A handler says with `@answers` what it returns; one that does not has no place in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from api.http import headers
from api.schemas import ProblemBody, ServerEventBody
from core import __version__

_F = TypeVar("_F", bound=Callable[..., Any])
_Json = dict[str, Any]
_ANY_CALL = (400, 403, 408, 413, 417, 429)
_MUTATION = (415,)
_TOKEN = "auraToken"  # noqa: S105 - a name, no secret


@dataclass(frozen=True, slots=True)
class Text:
    """A body that is no JSON but text, of that media type; `item` is the shape of each event, if it is a stream."""

    media_type: str
    item: type[msgspec.Struct] | None = None


EVENT_STREAM = Text("text/event-stream", ServerEventBody)
Body = type[msgspec.Struct] | Text | None
"""What an answer holds: JSON of that shape, text, or nothing."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What a handler promises: its successes by status, and which `errors` are its own.

    `query` and `headers` give the JSON Schema of each parameter.
    """

    successes: Mapping[int, Body]
    query: dict[str, _Json]
    headers: dict[str, _Json]
    errors: tuple[int, ...]
    needs_token: bool
    is_private: bool


_OPERATIONS: dict[Any, Operation] = {}


def answers(
    success: Body | Mapping[int, Body],
    *,
    query: dict[str, _Json] | None = None,
    headers: dict[str, _Json] | None = None,
    errors: tuple[int, ...] = (),
    needs_token: bool = False,
    is_private: bool = False,
) -> Callable[[_F], _F]:
    """Describe a handler: by the body of its 200, or by the body of each status that is a success.

    `@answers(StatusBody)`, `@answers({200: PulledBody, 202: JobBody})`, `@answers({204: None})`,
    `@answers(EVENT_STREAM)`, `@answers(Text("text/plain"))`.

    `needs_token` is a must for whatever can decide which program is run, or with what environment. `is_private` is for
    what only this user's programs may read, or whoever bears the token, as is so of every call that changes something.
    """
    successes = success if isinstance(success, Mapping) else {200: success}

    def describe(handler: _F) -> _F:
        _OPERATIONS[handler] = Operation(successes, query or {}, headers or {}, errors, needs_token, is_private)
        return handler

    return describe


def operation(handler: Any) -> Operation | None:
    """What a handler, bound or not, promises; None for one that nobody described, such as aiohttp's own."""
    return _OPERATIONS.get(getattr(handler, "__func__", handler))


def needs_token(handler: Any) -> bool:
    """Whether a handler is marked so."""
    known = operation(handler)
    return known is not None and known.needs_token


def is_private(handler: Any) -> bool:
    """Whether a handler is marked so."""
    known = operation(handler)
    return known is not None and known.is_private


def document(routes: Iterable[web.RouteDef]) -> bytes:
    """The description as JSON. Raises LookupError for a handler without `@answers`."""
    table = [(route, _known(route)) for route in routes]
    shapes = {_shape(body) for _, known in table for body in known.successes.values()} | {ProblemBody}
    ordered = sorted(filter(None, shapes), key=lambda shape: shape.__name__)
    _, schemas = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    paths: _Json = {}
    for route, known in table:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, known)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "aura-ollama",
                "version": __version__,
                "description": "Starts, watches and stops Ollama on this machine.",
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {
                    _TOKEN: {
                        "type": "apiKey",
                        "in": "header",
                        "name": headers.TOKEN,
                        "description": "The content of AuraData/run/token, where the settings require it.",
                    }
                },
            },
        }
    )


def _known(route: web.RouteDef) -> Operation:
    known = operation(route.handler)
    if known is None:
        raise LookupError(f"{route.method} {route.path} has a handler without @answers")
    return known


def _operation(route: web.RouteDef, known: Operation) -> _Json:
    failures = {*_ANY_CALL, *known.errors} | ({*_MUTATION} if route.method != "GET" else set())
    parameters = [("query", *each) for each in known.query.items()]
    parameters += [("header", *each) for each in known.headers.items()]
    return {
        "operationId": getattr(route.handler, "__name__", route.path),
        "summary": (getattr(route.handler, "__doc__", None) or "").partition("\n")[0],
        "parameters": [
            {"name": name, "in": place, "required": False, "schema": schema} for place, name, schema in parameters
        ],
        "security": [{_TOKEN: []}] if known.needs_token else [{}, {_TOKEN: []}],
        "responses": {str(status): _success(status, body) for status, body in sorted(known.successes.items())}
        | {str(status): _response(status, "application/problem+json", ProblemBody) for status in sorted(failures)},
    }


def _success(status: int, body: Body) -> _Json:
    if body is None:
        return {"description": HTTPStatus(status).phrase}
    return _response(status, body.media_type if isinstance(body, Text) else "application/json", body)


def _response(status: int, media_type: str, body: Body) -> _Json:
    # OpenAPI 3.1 has no word for what a stream is made of. Its tools take the schema for that of one event.
    shape = _shape(body)
    schema = {"$ref": f"#/components/schemas/{shape.__name__}"} if shape else {"type": "string"}
    return {"description": HTTPStatus(status).phrase, "content": {media_type: {"schema": schema}}}


def _shape(body: Body) -> type[msgspec.Struct] | None:
    return body.item if isinstance(body, Text) else body
