"""Our own log, `AuraData/logs/sidecar.log`: what the sidecar did and why. Ollama's own lines are in `core.logs`."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from logging.handlers import RotatingFileHandler

from core.config import Paths
from core.platform import disown
from core.redact import Redactor, secrets_of

_MOST_BYTES = 1 << 20
_OLD_FILES = 3
_SPARING_SECONDS = 1.0


class _Discreet(logging.Formatter):
    """Formats without what a URL holds in secret, or any environment that it was told to conceal, or our own."""

    def __init__(self, form: str, dates: str) -> None:
        super().__init__(form, dates)
        self._concealing = threading.Lock()
        self._secrets: frozenset[bytes] = frozenset()
        self._redact = Redactor([])
        self.conceal(os.environ)

    def conceal(self, env: Mapping[str, str]) -> None:
        """From now on star this environment's secrets as well. From any thread; cheap if they are known."""
        with self._concealing:
            known = self._secrets.union(secrets_of(env))
            if known != self._secrets:
                self._redact = Redactor(sorted(known, key=len, reverse=True))
                self._secrets = known

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(super().format(record).encode("utf-8", "backslashreplace")).decode("utf-8")


class _File(RotatingFileHandler):
    """The log file. What a full disk does not take is lost without a word; stderr has it anyhow, where there is one."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Say nothing: the default is a traceback on stderr for each line."""


class _Sparing(logging.Filter):
    """Lets one of these through a second: asyncio logs each connection that it cannot accept, with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self._last = -_SPARING_SECONDS

    def filter(self, record: logging.LogRecord) -> bool:
        if "out of system resource" not in record.getMessage():
            return True
        now = time.monotonic()
        if now - self._last < _SPARING_SECONDS:
            return False
        self._last = now
        return True


def configure(paths: Paths, *, verbose: bool) -> Callable[[Mapping[str, str]], None]:
    """Log to the file, capped at 4 MiB in all, and to stderr where there is one. Call once, at start.

    Our own environment's secrets are starred. So are, for good, those of each environment that the returned function
    is told of, from any thread.
    """
    form = _Discreet("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")
    form.converter = time.gmtime
    handlers: list[logging.Handler] = []
    # A windowed program on Windows has no stderr.
    if sys.stderr is not None:
        handlers.append(logging.StreamHandler())
    try:
        paths.logs.parent.mkdir(parents=True, exist_ok=True)
        file = paths.logs.parent / "sidecar.log"
        # Through a link we would write elsewhere, and a FIFO would hold us.
        disown(str(file))
        handlers.append(_File(file, maxBytes=_MOST_BYTES, backupCount=_OLD_FILES, encoding="utf-8", delay=True))
    except OSError as error:
        print(f"cannot log to {paths.logs.parent}: {error}", file=sys.stderr)
    for handler in handlers:
        handler.setFormatter(form)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=handlers)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("asyncio").addFilter(_Sparing())
    # It logs each request that is no HTTP with a traceback, and so would let any caller fill the log.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    return form.conceal
