"""A stranger on Ollama's port: it answers like one, but for what it is told to answer."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

Bodies = Mapping[str, bytes]
PLAIN = {
    "/": b"Ollama is running",
    "/api/version": b'{"version": "0.9.3"}',
    "/api/tags": b'{"models": []}',
    "/api/ps": b'{"models": []}',
}


@contextmanager
def stranger(port: int, bodies: Bodies) -> Iterator[None]:
    """Answers these paths on this port, like a real Ollama for those that are not given."""
    known = PLAIN | dict(bodies)

    class Answers(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            body = known.get(self.path.partition("?")[0], b"")
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing of a caller that leaves in the midst of an answer."""

    with Server(("127.0.0.1", port), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def models(count: int, size: str = "1") -> bytes:
    """A list of so many models, each of that size."""
    return b'{"models": [%s]}' % b",".join(
        b'{"name": "model-%06d", "size": %s, "modified_at": "2025-01-01T00:00:00+02:00"}' % (number, size.encode())
        for number in range(count)
    )
