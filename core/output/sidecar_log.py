"""Our own log, `AuraData/logs/sidecar.log`: what the sidecar did and why. `core.logs` has Ollama's own."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import TracebackType

from core.logs.lines import clean
from core.logs.redact import Redactor, secrets_of
from core.logs.segments import open_log
from core.output.outlet import DRAIN_SECONDS, Outlet, loss_line
from core.platform import close_to_others, delete_if_foreign, make_private_dir, replace_file
from core.settings.paths import Paths

_MOST_BYTES = 1 << 20
_OLD_FILES = 3
_ACCEPT_ERROR_SECONDS = 1.0

log = logging.getLogger(__name__)

FILE_ONLY: Mapping[str, object] = {"is_for_file_only": True}
"""As `extra` of a log call: write the record to the file only, because stderr has the message already."""


class _RedactingFormatter(logging.Formatter):
    """Replaces secrets by stars: logins in URLs, and secret values of our environment and of those in `conceal`.

    Control characters are escaped as in Ollama's log.
    """

    def __init__(self, form: str, dates: str) -> None:
        super().__init__(form, dates)
        self._concealing = threading.Lock()
        self._secrets: frozenset[bytes] = frozenset()
        self._redact = Redactor([])
        self.conceal(os.environ)

    def conceal(self, env: Mapping[str, str]) -> None:
        """From now on redact this environment's secrets too. From any thread; cheap if they are known already."""
        with self._concealing:
            known = self._secrets.union(secrets_of(env))
            if known != self._secrets:
                self._redact = Redactor(sorted(known, key=len, reverse=True))
                self._secrets = known

    def format(self, record: logging.LogRecord) -> str:
        # Texts from outside, such as a model's name, must not control the terminal of a person who reads the log.
        return clean(self._redact(super().format(record).encode("utf-8", "backslashreplace"))).decode("utf-8")


class _RotatingFile:
    """`sidecar.log` and three older ones, 1 MiB each, readable by this user only. For one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._old = [path.with_name(f"{path.name}.{number}") for number in range(1, _OLD_FILES + 1)]
        self._fd: int | None = None
        self._is_torn = False
        self._may_make_parents = True

    def write(self, text: str) -> None:
        """Append whole lines, to a new file if this one is full or was deleted. Raises OSError."""
        data = memoryview(("\n" if self._is_torn else "").encode() + text.encode("utf-8", "backslashreplace"))
        if self._fd is None:
            self._fd = self._open()
        status = os.fstat(self._fd)
        is_full = status.st_size > 0 and status.st_size + len(data) > _MOST_BYTES
        if is_full or status.st_nlink == 0:
            os.close(self._fd)
            self._fd = None
            if is_full:
                # Windows does not rename a file that somebody reads. Then the file grows until the next try.
                with suppress(OSError):
                    for older, newer in pairwise(reversed([self._path, *self._old])):
                        with suppress(FileNotFoundError):
                            replace_file(str(newer), str(older))
            self._fd = self._open()
        while data:
            written = os.write(self._fd, data)
            # A full disk may accept a part of a line only.
            self._is_torn = written < len(data)
            data = data[written:]

    def _open(self) -> int:
        folder = self._path.parent
        # Later on the data folder can only be missing because its disk has been taken away.
        may_make_parents, self._may_make_parents = self._may_make_parents, False
        folder.mkdir(mode=0o700, parents=may_make_parents, exist_ok=True)
        # Log also on a file system that keeps no rights, or in a folder that is not ours.
        with suppress(OSError):
            make_private_dir(str(folder), parents=False)
        delete_if_foreign(str(self._path))
        for old in self._old:
            with suppress(OSError), os.fdopen(open_log(str(old), os.O_RDONLY), "rb") as file:
                close_to_others(file.fileno())
        fd = open_log(str(self._path), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        with suppress(OSError):
            close_to_others(fd)
        self._is_torn = False
        return fd


class _QueuedFileHandler(logging.Handler):
    """Writes records to the log file by an `Outlet`: no caller waits for the disk. Lost lines are counted there."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._outlet = Outlet("sidecar log", _RotatingFile(path).write, _loss_text)
        # Opened at once, while the data folder is certain to be the one that was meant.
        self._outlet.put("")

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._outlet.put(self.format(record) + "\n")
        except Exception:
            # A record that cannot be formatted must not raise in its caller.
            self.handleError(record)

    def flush(self) -> None:
        """Wait until all records are in the file or lost, DRAIN_SECONDS at most."""
        self._outlet.drain(DRAIN_SECONDS)


def _loss_text(lost: int) -> str:
    return loss_line(lost, "the disk did not take them")


class _AcceptErrorFilter(logging.Filter):
    """Passes one accept error a second: asyncio logs each connection that it cannot accept, with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self._last = -_ACCEPT_ERROR_SECONDS

    def filter(self, record: logging.LogRecord) -> bool:
        if "out of system resource" not in record.getMessage():
            return True
        now = time.monotonic()
        if now - self._last < _ACCEPT_ERROR_SECONDS:
            return False
        self._last = now
        return True


def configure(paths: Paths, *, verbose: bool) -> Callable[[Mapping[str, str]], None]:
    """Log to the file, 4 MiB in all, and to stderr if there is one. Call it once, at start. Does not touch the disk.

    Uncaught exceptions of the program and of threads are logged too. Secrets of our own environment are redacted.
    Returns a function that takes another environment, from any thread, whose secrets are redacted from then on.
    """
    formatter = _RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")
    formatter.converter = time.gmtime
    handlers: list[logging.Handler] = [_QueuedFileHandler(paths.logs.parent / "sidecar.log")]
    # A windowed program on Windows has no stderr.
    if sys.stderr is not None:
        handlers.append(logging.StreamHandler())
        handlers[-1].addFilter(lambda record: not hasattr(record, "is_for_file_only"))
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=handlers)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("asyncio").addFilter(_AcceptErrorFilter())
    # It logs each request that is not valid HTTP with a traceback, which would let any caller fill the log.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    sys.excepthook = log_end
    threading.excepthook = _log_uncaught_in_thread
    sys.unraisablehook = _log_unraisable
    return formatter.conceal


class _FatalErrorLogger:
    """Logs an exception that ends the program, once, though it passes several places that call this."""

    def __init__(self) -> None:
        self._logged: BaseException | None = None

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if error is not self._logged:
            self._logged = error
            log.critical("the program ends: %s", kind.__name__, exc_info=(kind, error, trace))


log_end = _FatalErrorLogger()
"""Call it with the arguments of `sys.excepthook`, from any thread."""


def _log_uncaught_in_thread(hook: threading.ExceptHookArgs) -> None:
    # While the interpreter shuts down there may be no exception.
    if hook.exc_value is not None:
        name = hook.thread.name if hook.thread else "?"
        log.critical("thread %s ends", name, exc_info=(hook.exc_type, hook.exc_value, hook.exc_traceback))


def _log_unraisable(hook: sys.UnraisableHookArgs) -> None:
    log.error("%s %r", hook.err_msg or "ignored in", hook.object, exc_info=hook.exc_value)
