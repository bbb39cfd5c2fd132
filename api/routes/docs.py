"""The API for people, at `/docs`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property

from aiohttp import web

from api import docs
from api.openapi import Text, answers
from api.page import File
from api.routes.page import POLICY, page_answer

_SWAGGER_POLICY = "; ".join(
    part.replace("img-src 'self'", "img-src 'self' data:") for part in POLICY.split("; ") if "trusted-types" not in part
)
"""Swagger UI makes HTML of its own, which it cleans itself, and its style sheet holds its images. It may still load
nothing and call nobody but its own sidecar, and no inline script or style is obeyed.
"""
_FILE = {"type": "string", "enum": sorted(docs.SWAGGER_FILES), "description": "A file of Swagger UI."}


class DocsRoutes:
    """Handlers over the OpenAPI document. They tell nothing of this machine, and so need no token."""

    def __init__(self, describe: Callable[[], bytes]) -> None:
        """`describe` gives the document."""
        self._describe = describe

    def table(self) -> list[web.RouteDef]:
        """Their routes; those of Swagger UI's files only where it is installed."""
        files = [web.get("/docs/{file}", self.docs_file)] if docs.SWAGGER_FOLDER else []
        return [web.get("/docs", self.docs), web.get("/docs/list", self.docs_list), *files]

    @answers(Text("text/html"), is_open=True)
    async def docs(self, request: web.Request) -> web.Response:
        """This description for people: by Swagger UI where it is installed, else the list."""
        if docs.SWAGGER_FOLDER is None:
            return await self.docs_list(request)
        answer = page_answer(File(docs.SWAGGER, "text/html"))
        answer.headers["Content-Security-Policy"] = _SWAGGER_POLICY
        return answer

    @answers(Text("text/html"), is_open=True)
    async def docs_list(self, request: web.Request) -> web.Response:
        """This description for people as a plain list, which needs no script."""
        return page_answer(File(self._plain, "text/html"))

    @answers(Text("*/*"), path={"file": _FILE}, errors=(404,), is_open=True)
    async def docs_file(self, request: web.Request) -> web.Response:
        """A file of Swagger UI."""
        name = request.match_info["file"]
        if docs.SWAGGER_FOLDER is None or name not in docs.SWAGGER_FILES:
            raise web.HTTPNotFound
        content = await asyncio.to_thread((docs.SWAGGER_FOLDER / name).read_bytes)
        return page_answer(File(content, docs.SWAGGER_FILES[name]))

    @cached_property
    def _plain(self) -> bytes:
        return docs.plain(self._describe())
