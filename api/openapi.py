"""The OpenAPI 3.1 description, made from the route table and the types of the bodies, so that it always matches them.

A handler declares with `@answers` what it returns. A handler without it must not be in the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from api.http import headers
from api.schemas import ProblemBody, ServerEventBody
from core import __version__
from core.ollama.model_name import PATTERN

_F = TypeVar("_F", bound=Callable[..., Any])
_Json = dict[str, Any]
_ANY_CALL = (400, 403, 408, 413, 417, 429)
_MUTATION = (415,)
_TOKEN = "auraToken"  # noqa: S105 - a name, no secret
_IN_PATH: dict[str, _Json] = {
    "model": {
        "type": "string",
        "pattern": PATTERN,
        "description": "A model's name, percent-encoded: [host[:port]/][namespace/]model[:tag].",
    },
    "instance": {"type": "string", "pattern": "^[a-z0-9-]{1,32}$", "description": "The id of an instance."},
    "job": {"type": "string", "pattern": "^[0-9a-f]{12}$", "description": "The id of a job."},
}
"""The JSON Schema of each parameter of a path."""


@dataclass(frozen=True, slots=True)
class Text:
    """A body that is text of that media type, not JSON. `item` is the type of each event, if it is a stream."""

    media_type: str
    item: type[msgspec.Struct] | None = None


EVENT_STREAM = Text("text/event-stream", ServerEventBody)
Body = type[msgspec.Struct] | Text | None
"""What an answer has as its body: JSON of that type, text, or nothing."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What a handler declares: bodies by status of success, and the statuses of its own `errors`.

    `path`, `query` and `headers` hold the JSON Schema of each parameter; `path` only of those that are in no other
    resource's path.
    """

    successes: Mapping[int, Body]
    path: dict[str, _Json]
    query: dict[str, _Json]
    headers: dict[str, _Json]
    errors: tuple[int, ...]
    needs_token: bool
    is_private: bool
    is_open: bool
    body: type[msgspec.Struct] | None = None


_OPERATIONS: dict[Any, Operation] = {}


def answers(
    success: Body | Mapping[int, Body],
    *,
    path: dict[str, _Json] | None = None,
    query: dict[str, _Json] | None = None,
    headers: dict[str, _Json] | None = None,
    errors: tuple[int, ...] = (),
    needs_token: bool = False,
    is_private: bool = False,
    is_open: bool = False,
    body: type[msgspec.Struct] | None = None,
) -> Callable[[_F], _F]:
    """Describe a handler by the body of its 200, or by the body of each status of success.

    `@answers(StatusBody)`, `@answers({200: PulledBody, 202: JobBody})`, `@answers({204: None})`,
    `@answers(EVENT_STREAM)`, `@answers(Text("text/plain"))`.

    Set `needs_token` for every call that can decide which program is run, or with which environment. Set `is_private`
    for a read that is allowed only to this user's programs, or with the token; every mutation is anyway. Set `is_open`
    only for what tells nothing of this machine, or asks for another proof: it needs no token even where the settings
    ask for one, and a link on any page may lead to it. `body` is the JSON that the request must have.
    """
    successes = success if isinstance(success, Mapping) else {200: success}

    def describe(handler: _F) -> _F:
        _OPERATIONS[handler] = Operation(
            *(successes, path or {}, query or {}, headers or {}, errors),
            needs_token=needs_token,
            is_private=is_private,
            is_open=is_open,
            body=body,
        )
        return handler

    return describe


def operation(handler: Any) -> Operation | None:
    """What a handler, bound or not, declares; None for one without `@answers`, such as aiohttp's own."""
    return _OPERATIONS.get(getattr(handler, "__func__", handler))


def needs_token(handler: Any) -> bool:
    """Whether a handler is declared with `needs_token`."""
    known = operation(handler)
    return known is not None and known.needs_token


def is_private(handler: Any) -> bool:
    """Whether a handler is declared with `is_private`."""
    known = operation(handler)
    return known is not None and known.is_private


def is_open(handler: Any) -> bool:
    """Whether a handler is declared with `is_open`."""
    known = operation(handler)
    return known is not None and known.is_open


def document(routes: Iterable[web.RouteDef]) -> bytes:
    """The description as JSON. Raises LookupError for a handler without `@answers`."""
    table: list[tuple[web.RouteDef, Operation]] = []
    for route in routes:
        declared = operation(route.handler)
        if declared is None:
            raise LookupError(f"{route.method} {route.path} has a handler without @answers")
        table.append((route, declared))
    shapes = {_shape(body) for _, known in table for body in known.successes.values()}
    shapes |= {known.body for _, known in table} | {ProblemBody}
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


def _operation(route: web.RouteDef, known: Operation) -> _Json:
    failures = {*_ANY_CALL, *known.errors} | ({*_MUTATION} if route.method != "GET" else set())
    in_path = _IN_PATH | known.path
    parameters = [("path", name, in_path[name]) for name in re.findall(r"{(\w+)}", route.path)]
    parameters += [("query", *each) for each in known.query.items()]
    parameters += [("header", *each) for each in known.headers.items()]
    described: _Json = {
        "operationId": getattr(route.handler, "__name__", route.path),
        "summary": (getattr(route.handler, "__doc__", None) or "").partition("\n")[0],
        "parameters": [
            {"name": name, "in": place, "required": place == "path", "schema": schema}
            for place, name, schema in parameters
        ],
        "security": [{_TOKEN: []}] if known.needs_token else [{}, {_TOKEN: []}],
        "responses": {str(status): _response(status, body) for status, body in sorted(known.successes.items())}
        | {str(status): _response(status, ProblemBody, "application/problem+json") for status in sorted(failures)},
    }
    if known.body:
        schema = {"$ref": f"#/components/schemas/{known.body.__name__}"}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


def _response(status: int, body: Body, media_type: str = "application/json") -> _Json:
    if body is None:
        return {"description": HTTPStatus(status).phrase}
    if isinstance(body, Text):
        media_type = body.media_type
    # OpenAPI 3.1 cannot describe the items of a stream. Its tools take the schema as that of one event.
    shape = _shape(body)
    schema = {"$ref": f"#/components/schemas/{shape.__name__}"} if shape else {"type": "string"}
    return {"description": HTTPStatus(status).phrase, "content": {media_type: {"schema": schema}}}


def _shape(body: Body) -> type[msgspec.Struct] | None:
    return body.item if isinstance(body, Text) else body
