"""The page for people at `/`, and its files."""

from __future__ import annotations

from aiohttp import web

from api.openapi import Text, answers
from api.page import FILES, INDEX, File

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # No text can become HTML or script, by whichever slip of ours: https://www.w3.org/TR/trusted-types/
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""What a page of ours may do: load its own files and call its own sidecar, in a window of its own."""
_NOTHING_OF = ("camera", "display-capture", "geolocation", "microphone", "midi", "payment", "serial", "usb", "hid")
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _NOTHING_OF),
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
"""The headers of every page and of all that it loads, beside those of every answer.

`no-store` is one of the latter: the files are few, and loopback is fast, while a page made of files of two versions
would fail in ways that nobody could tell.
"""
_FILE = {"type": "string", "enum": sorted(FILES), "description": "A file of the page."}


class PageRoutes:
    """Handlers that serve what is in memory. They tell nothing of this machine, and so need no token."""

    def table(self) -> list[web.RouteDef]:
        """Their routes."""
        return [web.get("/", self.page), web.get("/page/{file}", self.file)]

    @answers(Text("text/html"), is_open=True)
    async def page(self, request: web.Request) -> web.Response:
        """The page: state, models, log and settings, for people."""
        return page_answer(FILES[INDEX])

    @answers(Text("*/*"), path={"file": _FILE}, errors=(404,), is_open=True)
    async def file(self, request: web.Request) -> web.Response:
        """A style sheet, a script or an image of the page."""
        found = FILES.get(request.match_info["file"])
        if found is None:
            raise web.HTTPNotFound
        return page_answer(found)


def page_answer(file: File) -> web.Response:
    """The answer with that file, for a page or for what a page loads."""
    charset = "utf-8" if file.media_type.startswith("text/") else None
    answer = web.Response(body=file.content, content_type=file.media_type, charset=charset)
    answer.headers.update(HEADERS)
    return answer
