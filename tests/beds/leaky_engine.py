"""An engine that speaks as Podman does, and whose log and gaps a test scripts: what a real one does by chance only.

It has one container, `ollama`, which prints what the test says. It serves on a Unix socket, on the test's own loop.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

ID = "c0ffee"


class LeakyEngine:
    """A context manager. `url` is its socket's. Its container began at Unix time `began`."""

    def __init__(self, folder: Path, *, name: str = "Podman", began: int = 1_700_000_000) -> None:
        self._name = name
        self._began = began
        self._socket = folder / "engine"
        self.url = f"unix://{self._socket}"
        self.followers = 0
        """How many requests to follow came."""
        self._lines: list[tuple[int, str]] = []
        self._half: str | None = None
        self._gaps: dict[str, str | None] = {}
        self._news = asyncio.Condition()
        self._runs = True
        self._runner: web.AppRunner | None = None

    def leave_out(self, *texts: str) -> None:
        """Following leaves these lines out, once each."""
        self._gaps |= dict.fromkeys(texts)

    def halve(self, text: str, half: str) -> None:
        """Following tells `half` for that line, once."""
        self._gaps[text] = half

    async def print(self, *texts: str, after: int = 0) -> None:
        """Have the container print these lines, `after` seconds after its run began. One that was half is whole now."""
        async with self._news:
            self._half = None
            self._lines += [(self._began + after, text) for text in texts]
            self._news.notify_all()

    def print_half(self, text: str) -> None:
        """Half of a line is in the log. Only a reading without following tells it."""
        self._half = text

    def begin_anew(self, after: int) -> None:
        """Its present run began so many seconds after the one before."""
        self._began += after

    async def end(self) -> None:
        """Have the container end."""
        async with self._news:
            self._runs = False
            self._news.notify_all()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/_ping", self._ping)
        app.router.add_get("/{version}/containers/{name}/json", self._inspect)
        app.router.add_get("/{version}/containers/{name}/logs", self._logs)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self._socket)).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner
        await self.end()
        await self._runner.cleanup()

    async def _ping(self, request: web.Request) -> web.Response:
        own = {"Libpod-API-Version": "4.3.1"} if self._name == "Podman" else {}
        return web.Response(text="OK", headers={"Api-Version": "1.41"} | own)

    async def _inspect(self, request: web.Request) -> web.Response:
        state = {"Running": self._runs, "StartedAt": _stamp(self._began), "Pid": 1}
        return web.json_response({"Id": ID, "Name": "/ollama", "State": state, "Config": {}, "HostConfig": {}})

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        since, tail = int(request.query["since"]), request.query["tail"]
        answer = web.StreamResponse()
        await answer.prepare(request)
        if request.query["follow"] == "true":
            self.followers += 1
            await self._follow(answer, since)
        else:
            lines = self._lines + ([(self._lines[-1][0], self._half)] if self._half is not None else [])
            if tail != "all":
                lines = lines[-int(tail) :]
            await answer.write(b"".join(_frame(*line) for line in lines if line[0] >= since))
        return answer

    async def _follow(self, answer: web.StreamResponse, since: int) -> None:
        told = len(self._lines)
        # What was printed before is told whole.
        await answer.write(b"".join(_frame(*line) for line in self._lines if line[0] >= since))
        while self._runs or len(self._lines) > told:
            async with self._news:
                while self._runs and len(self._lines) == told:
                    await self._news.wait()
            new, told = self._lines[told:], len(self._lines)
            for second, text in new:
                shown = self._gaps.pop(text) if text in self._gaps else text
                if shown is not None and second >= since:
                    await answer.write(_frame(second, shown))


def _stamp(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _frame(second: int, text: str) -> bytes:
    payload = f"{_stamp(second)} {text}\n".encode()
    return b"\x01\0\0\0" + len(payload).to_bytes(4, "big") + payload
