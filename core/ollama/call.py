"""One HTTP call to a server that is not trusted, with limits, and the closed set of ways in which it can fail.

Any program may hold Ollama's port. So redirects are not followed, cookies not kept, bodies not decompressed, and the
body, the interim answers and all that is sent beside the body are limited. Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Self

import aiohttp
from aiohttp.http import HttpProcessingError

from core.endpoint import bracketed
from core.errors import why_not_connected
from core.logs.own_calls import MARK
from core.ollama.http_overhead import BODY_PER_BYTE, LeanConnector, TooMuchOverhead
from core.ollama.proxy import proxy_for
from core.ollama.resolver import Resolver

if TYPE_CHECKING:
    from aiohttp.connector import Connection

log = logging.getLogger(__name__)

_MOST_INTERIM = 10
_OUT_OF_MEANS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_SWITCHING_PROTOCOLS = 101
_REASON_BYTES = 64 << 10
_REASON_SECONDS = 0.5
_CONNECT_SECONDS = 5.0
COULD_NOT = "It could not be asked. The sidecar's own log has the whole story."
# Ollama keeps idle connections open. A connection that lasts from one hang check to the next saves the handshake, and
# proves that the same server still answers.
_KEEP_ALIVE_SECONDS = 60.0


class CallFailed(Exception):
    """A call without a usable answer. The text says why, for a person, and holds no secret."""


class NotAsked(CallFailed):
    """We lack descriptors or memory for the call, so nothing is known about the server."""


class NotConnected(CallFailed):
    """No connection could be made: refused, no route, no such name, or an unusable proxy."""


class TimedOut(CallFailed):
    """No complete answer came in time."""


class HttpStatus(CallFailed):
    """The status of the answer is not 200. The text is `HTTP {code}` and what the server said with it, if anything."""

    def __init__(self, code: int, said: str = "") -> None:
        super().__init__(f"HTTP {code}: {said}" if said else f"HTTP {code}")
        self.code = code


class BadAnswer(CallFailed):
    """The answer is not HTTP, too long, or not of the expected shape."""


class HungUp(BadAnswer):
    """The server closed the connection before a whole answer, as a process does that ends."""


class Complaint(CallFailed):
    """The server's own `error`, sent with status 200. The text is that error, cut to 200 characters."""


class _Response(aiohttp.ClientResponse):
    """A response with at most 10 interim answers (1xx): aiohttp accepts any number, and keeps each in memory."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        protocol = connection.protocol
        if protocol is None:
            raise aiohttp.ServerDisconnectedError
        for _ in range(_MOST_INTERIM):
            answer = await protocol.read()
            if not 100 <= answer[0].code <= 199 or answer[0].code == _SWITCHING_PROTOCOLS:
                # Put the answer back, so that aiohttp's own `start` reads it.
                protocol.feed_data(answer, 0)
                return await super().start(connection)
        raise BadAnswer("It sends interim answers without end.")


class Caller:
    """Calls one server at `base_url`. An async context manager.

    Proxy variables are obeyed for other machines and ignored for this one (`is_local`). `login` is a user name and a
    password, sent as Basic authorization (RFC 7617). `words_of` finds the error in the body of an answer that is not
    200. `headers` are sent with each call. `body_per_byte` is that of `LeanConnector`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        is_local: bool,
        login: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        words_of: Callable[[bytes], str] = lambda _: "",
        body_per_byte: int = BODY_PER_BYTE,
    ) -> None:
        self._base_url = base_url
        self._words_of = words_of
        self._is_local = is_local
        self._connections = 0
        self._last_unknown = ""
        sent = {"Accept-Encoding": "identity", **(headers or {})}
        if login:
            sent["Authorization"] = f"Basic {b64encode(':'.join(login).encode()).decode()}"

        async def count_connection(*_: object) -> None:
            self._connections += 1

        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(count_connection)
        self._session = aiohttp.ClientSession(
            connector=LeanConnector(
                resolver=Resolver(), keepalive_timeout=_KEEP_ALIVE_SECONDS, body_per_byte=body_per_byte
            ),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=sent,
            response_class=_Response,
            trace_configs=[trace],
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Drop the connections."""
        await self._session.close()

    @property
    def connections(self) -> int:
        """How many connections have been made. While this number does not change, the same server answers."""
        return self._connections

    async def call(
        self, path: str, timeout: float, *, most: int, content: bytes | None = None, method: str | None = None
    ) -> bytes:
        """The answer's body: of a GET, or of a POST of JSON `content`. At most `most` bytes, within `timeout` seconds.

        `method`, if given, is used instead of these two. Raises `CallFailed` and nothing else.
        """
        try:
            async with self._answer(path, content, method, aiohttp.ClientTimeout(total=timeout)) as response:
                return await _body(response, most)
        except CallFailed:
            raise
        except Exception as error:
            raise self._known_failure(error) from None

    async def lines(self, path: str, content: bytes, *, quiet: float, most: int) -> AsyncGenerator[bytes, None]:
        """The lines of the answer to a POST of JSON, as they come, each without its end and of at most `most` bytes.

        Fails if nothing comes for `quiet` seconds. Raises `CallFailed` and nothing else. Close the generator to close
        the connection.
        """
        timing = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=quiet)
        try:
            async with self._answer(path, content, None, timing) as response:
                rest = b""
                while part := await response.content.readany():
                    *whole, rest = (rest + part).split(b"\n")
                    if max(map(len, [*whole, rest])) > most:
                        raise BadAnswer(f"A line of its answer is longer than {most} bytes.")
                    for line in whole:
                        yield line
                yield rest
        except CallFailed:
            raise
        except Exception as error:
            raise self._known_failure(error) from None

    def _known_failure(self, error: Exception) -> CallFailed:
        failure = _failure(error)
        if failure is None:
            # An unknown exception of aiohttp is a failure of the server too; it must not end the caller's task.
            failure = BadAnswer(COULD_NOT)
            if self._last_unknown != type(error).__name__:
                self._last_unknown = type(error).__name__
                log.warning("A call of Ollama failed in an unknown way", exc_info=error)
        return failure

    @asynccontextmanager
    async def _answer(
        self, path: str, content: bytes | None, method: str | None, timing: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer with status 200, to read its body. The connection is closed if the body is not read whole."""
        try:
            proxy = None if self._is_local else proxy_for(self._base_url)
        except ValueError as error:
            raise NotConnected(str(error)) from None
        headers = {} if content is None else {"Content-Type": "application/json"}
        if proxy and not proxy.is_tunnel:
            headers |= proxy.headers
        async with self._session.request(
            method or ("GET" if content is None else "POST"),
            f"{self._base_url}{path}?{MARK}",
            data=content,
            headers=headers,
            proxy=proxy.url if proxy else None,
            proxy_headers=proxy.headers if proxy and proxy.is_tunnel else None,
            # A redirect may lead to another server than the one in question.
            allow_redirects=False,
            timeout=timing,
        ) as response:
            if response.status != 200:
                said = ""
                # The status is the news; what is said about it may be missing.
                with suppress(TimeoutError, OSError, aiohttp.ClientError, HttpProcessingError, BadAnswer):
                    async with asyncio.timeout(_REASON_SECONDS):
                        said = self._words_of(await _body(response, _REASON_BYTES))
                raise HttpStatus(response.status, said)
            yield response


async def _body(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The whole body. Raises BadAnswer if it is longer than `most` bytes."""
    body = bytearray()
    while len(body) <= most and (chunk := await response.content.read(most + 1 - len(body))):
        body += chunk
    if len(body) > most:
        raise BadAnswer(f"Its answer is longer than {most} bytes.")
    return bytes(body)


def _failure(error: Exception) -> CallFailed | None:  # noqa: C901 - one line a kind
    """The failure that an exception of aiohttp means, None if it is not known."""
    match error:
        case TimeoutError():
            return TimedOut("It did not answer in time.")
        case OSError(errno=number) if number in _OUT_OF_MEANS:
            return NotAsked(f"It could not be asked: {why_not_connected(error)}")
        case aiohttp.ClientConnectorDNSError():
            return NotConnected(f"The name {error.host} is not known.")
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return NotConnected(
                "A secure connection could not be made: its certificate is not trusted, or it has none."
            )
        case aiohttp.ClientProxyConnectionError():
            why = why_not_connected(error.os_error)
            return NotConnected(f"The proxy at {bracketed(error.host)}:{error.port} cannot be reached: {why}")
        case aiohttp.ClientConnectorError():
            return NotConnected(f"It cannot be connected to: {why_not_connected(error.os_error)}")
        case aiohttp.ClientHttpProxyError():
            return HttpStatus(error.status)
        case aiohttp.InvalidURL():
            return NotConnected("Its address, or the proxy's, cannot be used.")
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return BadAnswer("It does not speak HTTP.")
        case TooMuchOverhead():
            return BadAnswer("It sends too much beside its answer.")
        case aiohttp.ClientError():
            return HungUp("It hung up, or its answer broke off.")
        case _:
            return None
