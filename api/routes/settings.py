"""All settings: what is in force, and their change."""

from __future__ import annotations

from aiohttp import web

from api.errors import problem
from api.http import headers
from api.http.body import json_answer
from api.http.json_body import json_body
from api.openapi import answers
from api.schemas import SettingsBody, SettingsChangesBody, settings_body
from core.settings.form import SettingsForm
from core.sidecar import Sidecar

_FREE = frozenset(
    {
        "canary",
        "logSegmentBytes",
        "logSegmentsPerStart",
        "logStarts",
        "logTotalBytes",
        "ollamaGpuAutoDetect",
        "ollamaGpuEnabled",
        "ollamaModel",
        "ollamaNumCtx",
        "ollamaNumGpu",
        "readyTimeout",
        "restartOnCrash",
        "startOnLaunch",
        "stopOnQuit",
        "stopOnTerminate",
        "stopTimeout",
    }
)
"""What may be changed without the token. A setting that is not here decides which program is run, and with which
environment, where it is looked for, or who may call; or it is new."""


def needs_token(key: str) -> bool:
    """Whether that setting may be changed with the token only."""
    return key not in _FREE


class SettingsRoutes:
    """Handlers of both settings files."""

    def __init__(self, core: Sidecar) -> None:
        self._form = SettingsForm(core.paths, core.settings)
        self._fleet = core.fleet

    def table(self) -> list[web.RouteDef]:
        """Their routes."""
        return [web.get("/api/ollama/settings", self.settings), web.put("/api/ollama/settings", self.change_settings)]

    @answers(SettingsBody, is_private=True)
    async def settings(self, request: web.Request) -> web.Response:
        """All settings in force, with their defaults and limits."""
        return json_answer(settings_body(await self._form.read(), needs_token))

    @answers(SettingsBody, body=SettingsChangesBody)
    async def change_settings(self, request: web.Request) -> web.Response:
        """Change settings: all that are named, or none; the next call meets them. Some need the token."""
        changes = (await json_body(request, SettingsChangesBody)).changes
        guarded = sorted(filter(needs_token, changes))
        if guarded and not request.get(headers.HAS_TOKEN):
            return problem(
                403,
                "token_required",
                "Request refused",
                f"{', '.join(f'`{key[:80]}`' for key in guarded[:5])} may be changed with the token only.",
                f"Send the content of AuraData/run/token as {headers.TOKEN}, or change the file itself.",
            )
        reading = await self._form.change(changes)
        await self._fleet.follow_settings()
        return json_answer(settings_body(reading, needs_token))
