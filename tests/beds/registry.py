"""A registry of models on loopback, as far as Ollama asks one, with all that can go wrong on the way. Plain http.

Ollama asks for `GET /v2/REPOSITORY/manifests/TAG`, and for each layer by `HEAD` and `GET` of
`/v2/REPOSITORY/blobs/DIGEST`.
The first GET of a layer is answered with a redirect to another host name, as the public registry answers it; the
bytes are then asked for there in ranges. The formats are those of https://distribution.github.io/distribution/spec/.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_KINDS = ("model", "projector", "license", "params")
_CHUNK = 16 << 10
# Windows' loop has a clock that moves each 15.6 ms, and ends any shorter sleep at once.
_LEAST_PAUSE = 0.05


@dataclass(slots=True)
class Blob:
    """One layer, and how it is served."""

    content: bytes
    is_corrupt: bool = False
    """Serve other bytes than the digest promises."""
    hold_at: int | None = None
    """Serve no byte from this one on until it is None again."""
    break_after: int | None = None
    """Break each connection off after so many bytes."""


@dataclass(slots=True)
class Registry:
    """What it has, what it was asked for, and what it has sent. Change it from the loop it serves on."""

    port: int = 0
    rate: int = 0
    """Bytes per second of each connection; 0 is as fast as can be."""
    served: int = 0
    """Bytes of layers that were sent, over all connections."""
    aborted: int = 0
    """Downloads that the other side has ended before their end."""
    open: int = 0
    """Downloads that are under way."""
    most_open: int = 0
    config_bytes: int = 0
    """The length of the configuration that the model offered last has as a further layer."""
    requests: list[str] = field(default_factory=list)
    _manifests: dict[str, bytes] = field(default_factory=dict)
    _blobs: dict[str, Blob] = field(default_factory=dict)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def host(self) -> str:
        """As it stands in the name of a model, and in `allowedRegistries`."""
        return f"127.0.0.1:{self.port}"

    def add(self, model: str, layers: Sequence[bytes]) -> list[Blob]:
        """Offer a model of these layers. Asked for as `http://HOST/library/MODEL`; returns the layers as served."""
        digests = [self._add_blob(content) for content in layers]
        config = json.dumps(
            {
                "model_format": "gguf",
                "model_family": "llama",
                "model_families": ["llama"],
                "model_type": "116K",
                "file_type": "F32",
                "architecture": "amd64",
                "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": digests},
            }
        ).encode()
        self.config_bytes = len(config)
        entries = [
            self._entry(f"application/vnd.ollama.image.{_KINDS[min(place, len(_KINDS) - 1)]}", digest)
            for place, digest in enumerate(digests)
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self._entry(_CONFIG, self._add_blob(config)),
            "layers": entries,
        }
        self._manifests[model] = json.dumps(manifest).encode()
        return [self._blobs[digest] for digest in digests]

    def name(self, model: str) -> str:
        """How a pull of that model is asked for."""
        return f"http://{self.host}/library/{model}"

    def models_of(self, file: str) -> set[str]:
        """The models, by their full names, that have a layer which Ollama keeps in a file of that name."""
        digest = file.replace("-", ":", 1).encode()
        names = [name for name, manifest in self._manifests.items() if digest in manifest]
        return {f"{self.host}/library/{name}" for name in names}

    async def until(self, holds: Callable[[], bool], within: float = 8.0) -> None:
        """Return once it holds; TimeoutError after `within` seconds. Looked at whenever something is sent or ends."""
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(holds)

    async def release(self, *blobs: Blob) -> None:
        """Hold these back no longer."""
        for blob in blobs:
            blob.hold_at = None
        await self._notify()

    def _add_blob(self, content: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self._blobs.setdefault(digest, Blob(content))
        return digest

    def _entry(self, kind: str, digest: str) -> dict[str, object]:
        return {"mediaType": kind, "digest": digest, "size": len(self._blobs[digest].content)}

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def manifest(self, request: web.Request) -> web.StreamResponse:
        """`GET` or `HEAD` of a manifest."""
        self.requests.append(f"{request.method} {request.path}")
        found = self._manifests.get(f"{request.match_info['model']}:{request.match_info['tag']}")
        if found is None:
            error = {"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}
            return web.json_response({"errors": [error]}, status=404)
        return web.Response(body=found, content_type=_MANIFEST)

    async def blob(self, request: web.Request) -> web.StreamResponse:
        """`GET` or `HEAD` of a layer, whole or in part."""
        self.requests.append(f"{request.method} {request.path} {request.headers.get('Range', '')}".rstrip())
        blob = self._blobs.get(request.match_info["digest"])
        if blob is None:
            return web.Response(status=404)
        if request.method == "GET" and "Range" not in request.headers:
            # Ollama insists on a Location, and on another host name before it takes what comes from there.
            return web.Response(status=307, headers={"Location": f"http://localhost:{self.port}{request.path}"})
        wanted = request.http_range
        start, stop = wanted.start or 0, wanted.stop or len(blob.content)
        response = web.StreamResponse(status=206 if "Range" in request.headers else 200)
        response.headers["Accept-Ranges"] = "bytes"
        response.headers["Content-Type"] = "application/octet-stream"
        response.content_length = stop - start
        if response.status == 206:
            response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(blob.content)}"
        await response.prepare(request)
        if request.method == "GET":
            await self._send(request, response, blob, start, stop)
        return response

    async def _send(
        self, request: web.Request, response: web.StreamResponse, blob: Blob, start: int, stop: int
    ) -> None:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        place = start
        owed = 0.0
        try:
            while place < stop:
                if blob.hold_at is not None and place >= blob.hold_at:
                    await self._until_released(request, blob)
                if blob.break_after is not None and place - start >= blob.break_after:
                    if request.transport is not None:
                        request.transport.abort()
                    return
                ends = [stop, place + _CHUNK, blob.hold_at or stop]
                ends += [start + blob.break_after] if blob.break_after is not None else []
                end = min(end for end in ends if end > place)
                part = blob.content[place:end]
                await response.write(bytes(len(part)) if blob.is_corrupt else part)
                place = end
                self.served += len(part)
                await self._notify()
                if self.rate:
                    owed += len(part) / self.rate
                    if owed >= _LEAST_PAUSE:
                        await asyncio.sleep(owed)
                        owed = 0.0
        except ConnectionError:
            self.aborted += 1
        finally:
            self.open -= 1
            await self._notify()

    async def _until_released(self, request: web.Request, blob: Blob) -> None:
        """Wait until the blob is held no more. Raises ConnectionError if the other side leaves meanwhile."""
        while blob.hold_at is not None:
            if request.transport is None or request.transport.is_closing():
                raise ConnectionResetError
            # An end of the connection is no change of ours.
            await asyncio.sleep(0.005)


@asynccontextmanager
async def registry() -> AsyncIterator[Registry]:
    """A registry without models, until the end of the block."""
    found = Registry()
    app = web.Application()
    app.router.add_get("/v2/library/{model}/manifests/{tag}", found.manifest)
    app.router.add_get("/v2/library/{model}/blobs/{digest}", found.blob)
    # Handlers are not cancelled when a client leaves, so that each end is counted in one way.
    runner = web.AppRunner(app, handler_cancellation=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.port = int(runner.addresses[0][1])
        yield found
    finally:
        await runner.cleanup()
