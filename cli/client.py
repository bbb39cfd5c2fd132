"""The REST API of the sidecar that runs: found by the note in the data folder, spoken to directly, with the token.

No proxy is asked, whatever the environment says. All functions block; Ctrl-C interrupts each within 0.2 s, also on
Windows, where no signal wakes a socket.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

from cli.server_events import OPEN, ServerEvent, server_events
from core import files, token
from core.platform import birth
from core.settings.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

CALL_SECONDS = 10.0
START_SECONDS = 720.0
"""For start, stop and restart: `readyTimeout` and `stopTimeout` may be 600 s, and the sidecar keeps to them."""
SILENCE_SECONDS = 40.0
"""After such a silence of a stream, in which two comments should have come, the sidecar hangs."""
_CONNECT_SECONDS = 5.0
_WAKE_SECONDS = 0.2
_WATCH_SECONDS = 5.0


class NoSidecar(Exception):
    """No sidecar runs on this data folder. `message` and `action` are sentences."""

    def __init__(self, message: str, paths: Paths) -> None:
        """`paths` are those of the data folder that was meant."""
        super().__init__(message)
        self.message = message
        # Started without its name, a sidecar would serve the usual folder.
        folder = paths.option
        headless = f"`aura-ollama run --headless{folder}`"
        self.action = f"Start it with `aura-ollama{folder}`, or with {headless} where there is no desktop."


class Failed(Exception):
    """The sidecar refused or failed, or does not answer. `message` and `action` are its own words where it has any.

    `body` is the whole answer, None if that is no JSON object; `status` its HTTP status, `code` the stable code of the
    failure.
    """

    def __init__(
        self,
        message: str,
        action: str | None = None,
        *,
        code: str = "failed",
        status: int | None = None,
        body: bytes | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.action = action
        self.code = code
        self.status = status
        self.body = body


class Answer(NamedTuple):
    """A whole answer that is no error: `body` as it came, `json` what it says (None if it is no JSON)."""

    status: int
    body: bytes
    json: Any
    headers: http.client.HTTPMessage


class Client:
    """The sidecar at `url`. Each call is a connection of its own."""

    def __init__(self, url: str, secret: str | None, paths: Paths) -> None:
        """`secret` is the token, None if it cannot be read: then the sidecar decides whether it is needed."""
        self.url = url
        self._paths = paths
        self._secret = secret

    @classmethod
    def find(cls, paths: Paths) -> Client:
        """The sidecar that serves this data folder. Raises NoSidecar, or Failed if its note cannot be read."""
        try:
            found = json.loads(files.read(str(paths.run / "sidecar.json")))
            url, pid, born = str(found["url"]), int(found["pid"]), found.get("birth")
        except FileNotFoundError:
            raise NoSidecar(f"No sidecar runs on {paths.data}.", paths) from None
        except OSError as error:
            raise Failed(
                f"{paths.run / 'sidecar.json'} cannot be read: {error.strerror or error}.",
                "Make that folder yours alone, or choose the data folder with --data-dir.",
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise NoSidecar(f"No sidecar runs on {paths.data}: its note there is damaged.", paths) from None
        # The note of a killed sidecar would have us send the token to whatever listens there by now.
        alive = birth(pid)
        if alive is None or born not in (None, alive):
            raise NoSidecar(f"No sidecar runs on {paths.data}: the last one, at {url}, has ended.", paths)
        return cls(url, _secret(paths), paths)

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float = CALL_SECONDS,
    ) -> Answer:
        """One call; `path` begins with a slash, and `body` is sent as JSON. Each silence may take `seconds`.

        Where `seconds` is long, a sidecar that hangs meanwhile is found within some 10 s. Raises NoSidecar if nobody
        listens there, and Failed for an error, no answer, or one that is no JSON object.
        """
        connection, _ = self._connect(seconds, self._watch() if seconds > CALL_SECONDS else None)
        try:
            response = self._ask(connection, method, path, body, headers)
            content = response.read()
        except TimeoutError:
            raise self._silent() from None
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"The sidecar at {self.url} broke the call off: {_why(error)}.") from None
        finally:
            connection.close()
        value = _decoded(content)
        if response.status >= 400:
            raise _failure(response.status, content, value)
        if not isinstance(value, dict):
            raise Failed(f"The sidecar at {self.url} answered with what is no JSON object.")
        return Answer(response.status, content, value, response.headers)

    def get(self, path: str, *, seconds: float = CALL_SECONDS) -> Answer:
        """As `call`."""
        return self.call("GET", path, seconds=seconds)

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, seconds: float = CALL_SECONDS) -> Answer:
        """As `call`."""
        return self.call("POST", path, body, seconds=seconds)

    def events(
        self,
        path: str,
        *,
        last_id: str | None = None,
        on_wait: Callable[[], None] | None = None,
        seconds: float = SILENCE_SECONDS,
    ) -> Generator[ServerEvent]:
        """The events of a stream, as they come, until it ends; close the iterator to end it sooner.

        The first one, of the type OPEN, tells that it is open. `last_id` is the id of the last event that was seen:
        what follows it comes. `on_wait` is called once all that
        has come was given, and then each 0.2 s while nothing comes; it may raise. The sidecar sends a comment each
        15 s, so a silence of `seconds` means that it hangs. Raises as `call`, also when the connection breaks.
        """
        connection, own = self._connect(CALL_SECONDS, on_wait)
        try:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
            response = self._ask(connection, "GET", path, None, headers)
            if response.status >= 400:
                content = response.read()
                raise _failure(response.status, content, _decoded(content))
            # It is opened at once; only what happens may take its time.
            own.seconds = seconds
            yield ServerEvent(last_id or "", OPEN, "")
            yield from server_events(response)
        except TimeoutError:
            raise self._silent() from None
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"The sidecar at {self.url} broke the stream off: {_why(error)}.") from None
        finally:
            connection.close()

    def _silent(self) -> Failed:
        return Failed(
            f"The sidecar at {self.url} does not answer.", "See its log, AuraData/logs/sidecar.log, or restart it."
        )

    def _watch(self) -> Callable[[], None]:
        """What raises Failed if the sidecar hangs. It looks after each _WATCH_SECONDS, however often it is called."""
        due = time.monotonic() + _WATCH_SECONDS

        def look() -> None:
            nonlocal due
            if time.monotonic() < due:
                return
            try:
                self.get("/healthz", seconds=_WATCH_SECONDS)
            except NoSidecar:
                # It takes no new calls: the call under way is answered, or breaks.
                pass
            except Failed as error:
                if error.status is None:
                    raise
            due = time.monotonic() + _WATCH_SECONDS

        return look

    def _connect(
        self, seconds: float, on_wait: Callable[[], None] | None = None
    ) -> tuple[http.client.HTTPConnection, _Socket]:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        try:
            plain = socket.create_connection((parts.hostname or "", parts.port or 80), _CONNECT_SECONDS)
        except TimeoutError:
            raise Failed(f"The sidecar at {self.url} takes no calls.", "End it, and start it anew.") from None
        except OSError as error:
            raise NoSidecar(f"No sidecar answers at {self.url}: {_why(error)}.", self._paths) from None
        connection.sock = own = _Socket(plain, seconds, on_wait)
        return connection, own

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
    ) -> http.client.HTTPResponse:
        given = dict(headers or {})
        if self._secret:
            given["X-Aura-Token"] = self._secret
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            given["Content-Type"] = "application/json"
        connection.request(method, path, content, given)
        return connection.getresponse()


class _Socket(socket.socket):
    """A connected socket whose reads end after some seconds of silence, and let Python see a Ctrl-C meanwhile."""

    def __init__(self, plain: socket.socket, seconds: float, on_wait: Callable[[], None] | None) -> None:
        super().__init__(plain.family, plain.type, plain.proto, fileno=plain.detach())
        self.seconds = seconds
        self._on_wait = on_wait

    def recv_into(self, *arguments: Any) -> int:
        """As socket's. Raises TimeoutError, and what `on_wait` raises."""
        deadline = time.monotonic() + self.seconds
        wait = 0.0
        while not select.select([self], [], [], wait)[0]:
            if time.monotonic() >= deadline:
                raise TimeoutError
            if self._on_wait:
                self._on_wait()
            wait = _WAKE_SECONDS
        return super().recv_into(*arguments)


def _secret(paths: Paths) -> str | None:
    try:
        return token.read(paths.run)
    except OSError:
        return None


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _failure(status: int, content: bytes, value: Any) -> Failed:
    if not isinstance(value, dict) or not isinstance(value.get("message"), str):
        return Failed(f"The sidecar answered with HTTP status {status}.", status=status)
    action, code = value.get("action"), value.get("code")
    return Failed(
        value["message"],
        action if isinstance(action, str) else None,
        code=code if isinstance(code, str) else "failed",
        status=status,
        body=content,
    )


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def escaped(name: str) -> str:
    """`name` as one segment of a path, such as a model's name. What UTF-8 lacks is spelt out."""
    return quote(name, safe="", errors="backslashreplace")
