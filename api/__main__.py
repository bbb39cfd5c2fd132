"""`python -P -m api`: the sidecar without a tray, until SIGINT, SIGTERM or SIGHUP."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from api.hooks import HEADLESS, Hooks
from api.reporting import report
from api.server import sidecar
from core import __version__, token
from core.errors import WAYS_OUT, CoreError, os_error_in_words
from core.output import console, sidecar_log
from core.platform import keep_one_heap
from core.platform.notify import Manager, notified
from core.settings.paths import Paths, default_root
from core.settings.reader import FIRST_READ_SECONDS, SettingsReader
from core.settings.schema import is_ip_address
from core.sidecar import Sidecar
from core.supervision import stop_signals
from core.text import in_sentences, on_one_line
from core.threads import single_flight

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, serve, and return the exit code: 0 after an orderly end, 1 if it could not serve."""
    keep_one_heap()
    options = parser().parse_args(arguments)
    if options.rotate_token:
        return rotate_token(options)
    try:
        run(options)
    except (CoreError, OSError) as error:
        log.error("%s", in_words(error), extra=sidecar_log.FILE_ONLY)
        return complain(error)
    return 0


def run(options: argparse.Namespace, hooks: Hooks = HEADLESS) -> None:
    """Serve by the options of `parser` until told to end. Raises CoreError or OSError if it could not serve."""
    manager = notified()
    paths = Paths.find(options.data_dir)
    reader = SettingsReader(paths, sidecar_log.configure(paths, verbose=options.verbose))
    single_flight.run(serve(paths, reader, options, hooks, manager))


def rotate_token(options: argparse.Namespace) -> int:
    """Put a new token in force, for a sidecar that runs as well, and say where it is. Returns the exit code."""
    paths = Paths.find(options.data_dir)
    try:
        token.rotate(paths.run)
    except OSError as error:
        return complain(error)
    print(f"A new token is in {on_one_line(str(paths.run / 'token'))}. The old one is refused from now on.")
    return 0


def complain(error: CoreError | OSError) -> int:
    """Say on stderr why it could not serve. Returns the exit code, 1."""
    print(f"aura-ollama: {on_one_line(in_words(error))}", file=sys.stderr)
    return 1


def in_words(error: CoreError | OSError) -> str:
    """What went wrong, and the way out where there is one."""
    if isinstance(error, CoreError):
        return in_sentences(error.message, error.action)
    return in_sentences(os_error_in_words(error), WAYS_OUT.get(error.errno or 0))


def parser() -> argparse.ArgumentParser:
    """The options of the sidecar."""
    options = _Parser(prog="aura-ollama", description="Starts, watches and stops Ollama.")
    options.add_argument("--host", type=_host, help="IP address; beyond loopback only with requireToken (127.0.0.1)")
    options.add_argument("--port", type=_port, help="port, 0 for any free one (default: settings, 5006)")
    default = on_one_line(str(default_root())).replace("%", "%%")
    options.add_argument(
        "--data-dir", type=_folder, help=f"the folder that holds AuraData (default: $AURA_DATA_PATH, else {default})"
    )
    options.add_argument(
        "--service",
        action="store_true",
        help="run for a service manager: without a tray, and Ollama stays whatever signal ends us",
    )
    options.add_argument("--rotate-token", action="store_true", help="make a new token, and end; the old one is void")
    options.add_argument("--verbose", action="store_true", help="log every call")
    options.add_argument("--version", action="version", version=f"aura-ollama {__version__}")
    return options


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # It quotes what was typed.
        super().error(on_one_line(message))


def _folder(text: str) -> Path:
    if text:
        return Path(text)
    # Of an unset variable of a shell's; pathlib takes it for the folder one is in.
    raise argparse.ArgumentTypeError("it is empty; give a value, or leave it out")


def _host(text: str) -> str:
    if is_ip_address(text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is no IP address; give one of this machine's, such as 127.0.0.1")


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port; give a whole number from 0 to 65535")


async def serve(
    paths: Paths, reader: SettingsReader, options: argparse.Namespace, hooks: Hooks, manager: Manager | None
) -> None:
    """Serve until a signal comes, and tell `manager`. Raises CoreError or OSError if serving cannot begin."""
    wanted = (await reader.fresh(seconds=FIRST_READ_SECONDS)).settings.sidecar
    core = Sidecar(paths, reader)
    port = wanted.port if options.port is None else options.port
    serving = sidecar(core, port, hooks, options.host or wanted.host)
    with _stop_signals() as stopped:
        async with serving as url:
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(core.run())
                    data = on_one_line(str(paths.data))
                    print(f"aura-ollama sidecar listening on {url} (data in {data})", flush=True)
                    reporting = tasks.create_task(report(manager, url)) if manager else None
                    number = await stopped
                    if manager and reporting:
                        manager.tell("STOPPING=1")
                        reporting.cancel()
                    settings = (await reader.fresh()).settings
                    core.close(stop_ollama=not options.service and stop_signals.stops_ollama(number, settings))
            except BaseException as error:
                sidecar_log.log_end(type(error), error, error.__traceback__)
                raise


@contextmanager
def _stop_signals() -> Iterator[asyncio.Future[int]]:
    """A future that the first stop signal resolves. Main thread only.

    At the end stop signals are ignored from then on. The process is about to end, and one that is repeated would have
    it end by the signal or with a traceback, and not in order.
    """
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()

    def resolve(number: int) -> None:
        if not stopped.done():
            stopped.set_result(number)

    def note(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(resolve, number)

    numbers = stop_signals.handled()
    for number in numbers:
        signal.signal(number, note)
    try:
        yield stopped
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    console.detach()
    sys.exit(main())
