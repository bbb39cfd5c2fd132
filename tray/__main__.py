"""The program: tray and sidecar in one process. The only module that sees `core`, `api` and `tray`; it only wires.

The main thread belongs to the icon, one other to the loop. Where no tray can be shown, the sidecar runs alone.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import logging
import os
import signal
import sys
import threading
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType

import msgspec

import icons
from api import __main__ as headless
from api.hooks import Hooks
from api.schemas import ShownBody
from api.server import AlreadyServed, sidecar
from core import token
from core.errors import CoreError
from core.output import console, sidecar_log
from core.platform import desktop, keep_one_heap
from core.settings.paths import Paths
from core.settings.reader import FIRST_READ_SECONDS, Settings, SettingsReader
from core.sidecar import Sidecar
from core.supervision import stop_signals
from core.supervision.state import Status
from core.text import in_sentences, on_one_line
from tray.app import App, Surface
from tray.menu import Act, Command, Facts, Look, view
from tray.program import at_login, windowed
from tray.program.bridge import Bridge
from tray.program.signals import SignalWatch
from tray.program.toast_thread import ToastThread
from tray.screen import icon
from tray.screen.icon import NoTray, TrayIcon
from tray.toasts import Kind, Toast

log = logging.getLogger(__name__)

QUIT_SECONDS = 8.0
SESSION_END_SECONDS = 3.0
_SHOW_SECONDS = 5.0
# No more than that: text that is nested more deeply than this is long would not be refused as text that is wrong.
_SHOW_BYTES = 900
_TOOLKIT_SECONDS = 3.0
_TOAST_IMAGE_SIZE = 64
_IMAGES = {
    Kind.NEWS: icons.APP,
    Kind.ANSWER: icons.APP,
    Kind.WARNING: Look.TROUBLE.value,
    Kind.FAILURE: Look.FAILED.value,
}
_URGENCIES = {
    Kind.NEWS: desktop.Urgency.LOW,
    Kind.ANSWER: desktop.Urgency.NORMAL,
    Kind.WARNING: desktop.Urgency.NORMAL,
    Kind.FAILURE: desktop.Urgency.CRITICAL,
}


def main(arguments: Sequence[str] | None = None, *, prog: str = "aura-ollama", epilog: str | None = None) -> int:
    """Run the program until quit. The exit code: 0 also if another instance was there already, and shows itself.

    1 if it could not serve, or another instance was to show itself and cannot. The help text calls the program `prog`
    and ends with `epilog`.
    """
    keep_one_heap()
    parser = headless.parser()
    parser.prog, parser.epilog = prog, epilog
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--headless", action="store_true", help="run the sidecar alone, without a tray")
    options = windowed.parse(parser, arguments)
    if options.rotate_token:
        return headless.rotate_token(options)
    if options.service:
        options.headless = True
        return _serve_alone(options, "It runs as a service, without a tray; `aura-ollama service uninstall` ends that.")
    if options.headless:
        return _serve_alone(options, "It was started with --headless.")
    try:
        program = _Program(options, _tray_backend())
    except NoTray as reason:
        print(f"aura-ollama: {reason}. Running without a tray.", file=sys.stderr)
        return _serve_alone(options, f"It runs without an icon: {reason}.")
    return program.run()


def _serve_alone(options: argparse.Namespace, why_hidden: str) -> int:
    async def show() -> str:
        return why_hidden

    try:
        headless.run(options, Hooks(on_show=show))
    except AlreadyServed as error:
        return _defer_to(error, options)
    except (CoreError, OSError) as error:
        return _complain(error, options)
    except Exception:
        if not windowed.is_mute():
            raise
        # The traceback of a windowed program comes in a box, and nobody may be there to close it.
        log.exception("the sidecar failed")
        return 1
    return 0


def _defer_to(other: AlreadyServed, options: argparse.Namespace) -> int:
    """Have the instance that is there show itself. The exit code: 0 if it does, or nobody wants to see it, else 1."""
    # A service that comes too late is a failure, and nobody has asked to see anything.
    if options.service or not other.url:
        return _complain(other, options)
    try:
        why_hidden = _show_other(Paths.find(options.data_dir), other.url)
    except (OSError, ValueError, http.client.HTTPException):
        return _complain(other, options)
    words = in_sentences(f"already running at {other.url}.", why_hidden)
    print(f"aura-ollama: {words}", file=sys.stderr)
    if why_hidden is None or options.headless:
        return 0
    windowed.show(f"Aura Ollama is {words}")
    return 1


def _tray_backend() -> ModuleType:
    # Naming a backend is a choice: then menus are not insisted on.
    is_chosen = "PYSTRAY_BACKEND" in os.environ
    if not is_chosen and not desktop.has_screen():
        raise NoTray("there is no display, and so no tray")
    # Whether anybody shows icons is not asked: the icon waits for him, as long as we run.
    return icon.load(forced=is_chosen)


@dataclass(frozen=True, slots=True)
class _Ending:
    """How the program was asked to end: by which signal, if by one, and how long Ollama may take to stop."""

    limit: float = QUIT_SECONDS
    signal: int | None = None

    def stops_ollama(self, settings: Settings) -> bool:
        """Whether Ollama ends too: by its signal, else as at Quit."""
        if self.signal is None:
            return settings.sidecar.stop_on_quit
        return stop_signals.stops_ollama(self.signal, settings)


class _Program:
    """One run with a tray: who does what on which thread."""

    def __init__(self, options: argparse.Namespace, backend: ModuleType) -> None:
        self._options = options
        self._paths = Paths.find(options.data_dir)
        self._reader = SettingsReader(self._paths, sidecar_log.configure(self._paths, verbose=options.verbose))
        self._bridge = Bridge(self._serve)
        first = view(Facts(Status(), None, False, False, False, False))
        self._icon = TrayIcon(backend, first, self._command, self._claim_signals, self._closed)
        self._signals = SignalWatch(self._signalled)
        # A toolkit that failed leaves a thread behind that waits for ever. All else has ended by then.
        self._backstop = threading.Timer(_TOOLKIT_SECONDS, os._exit, [0])
        self._backstop.daemon = True
        self._notifications = desktop.Notifications()
        self._toasts = ToastThread(self._hand_over)
        # Set as soon as the lock and the port are ours, or cannot be had.
        self._is_decided = threading.Event()
        self._is_served = False
        self._why_hidden: str | None = None
        self._app: App | None = None
        self._ended: asyncio.Future[_Ending] | None = None

    def run(self) -> int:
        """Serve and show until quit. On the main thread."""
        with self._signals:
            self._bridge.start()
            # A loop that never began decides nothing.
            if self._bridge.error is None:
                self._is_decided.wait()
            if self._is_served:
                self._show_icon()
            self._bridge.call(self._end, _Ending())
            self._bridge.join(timeout=None)
        return self._exit_code(self._bridge.error)

    def _show_icon(self) -> None:
        """Show the icon until quit; if the toolkit fails, go on without one until a signal comes."""
        try:
            self._icon.run()
            self._backstop.cancel()
        except Exception:
            log.exception("the tray cannot be shown; running without")
            self._why_hidden = "It runs without an icon: the tray cannot be shown. The log says why."
            print("aura-ollama: the tray cannot be shown. Running without a tray.", file=sys.stderr)
            self._signals.claim()
            self._bridge.join(timeout=None)

    def _exit_code(self, error: BaseException | None) -> int:
        if error is None:
            return 0
        if isinstance(error, AlreadyServed):
            return _defer_to(error, self._options)
        if isinstance(error, CoreError | OSError):
            return _complain(error, self._options)
        raise error

    async def _serve(self) -> None:
        """On the loop, from beginning to end."""
        self._ended = asyncio.get_running_loop().create_future()
        try:
            settings = (await self._reader.fresh(seconds=FIRST_READ_SECONDS)).settings
            core = Sidecar(self._paths, self._reader)
            hooks = Hooks(on_null_refused=self._null_refused, on_show=self._show)
            port = settings.sidecar.port if self._options.port is None else self._options.port
            host = self._options.host or settings.sidecar.host
            async with sidecar(core, port, hooks, host) as url:
                log.info("listening on %s (data in %s)", url, on_one_line(str(self._paths.data)))
                self._is_served = True
                self._is_decided.set()
                await self._serve_until(self._ended, core, url)
        except (CoreError, OSError):
            raise
        except BaseException as error:
            # The main thread tells it once the UI has ended, which may never be.
            sidecar_log.log_end(type(error), error, error.__traceback__)
            raise
        finally:
            self._is_decided.set()
            self._icon.stop()
            # Without an icon there was no toolkit, and what is told now may stand longer than that.
            if self._is_served:
                self._backstop.start()

    async def _serve_until(self, ended: asyncio.Future[_Ending], core: Sidecar, url: str) -> None:
        surface = Surface(self._icon.show, self._toast, lambda: self._end(_Ending()))
        async with asyncio.TaskGroup() as tasks:
            supervising = tasks.create_task(core.run())
            self._app = App(core, url, surface, partial(at_login.start, self._options, self._paths))
            tasks.create_task(self._app.run())
            ending = await ended
            settings = (await self._reader.fresh()).settings
            core.close(stop_ollama=ending.stops_ollama(settings))
            # The shim was asked by then, and goes on by itself if we have to leave before it is done.
            await asyncio.wait([supervising], timeout=ending.limit)
            supervising.cancel()
            self._app.end()

    def _end(self, ending: _Ending) -> None:
        if self._ended and not self._ended.done():
            self._ended.set_result(ending)

    def _command(self, command: Command) -> None:
        self._bridge.call(self._post, command)

    def _post(self, command: Command) -> None:
        if self._app:
            self._app.post(command)

    def _claim_signals(self) -> None:
        self._signals.claim()

    def _signalled(self, number: int) -> None:
        # SIGINT is a quit; the others come from a session that is ending.
        limit = QUIT_SECONDS if number == signal.SIGINT else SESSION_END_SECONDS
        self._bridge.call(self._end, _Ending(limit, number))

    def _closed(self, session_ends: bool) -> None:
        self._bridge.call(self._end, _Ending(SESSION_END_SECONDS if session_ends else QUIT_SECONDS))
        if session_ends:
            # Windows takes us away right after this, and after 5 s in any case.
            self._bridge.join(timeout=SESSION_END_SECONDS + 1)

    def _null_refused(self) -> None:
        if self._app:
            self._app.desktop_refused()

    async def _show(self) -> str | None:
        self._post(Command(Act.SHOW_STATUS))
        if self._why_hidden:
            return self._why_hidden
        return None if await asyncio.to_thread(desktop.session_has_tray) else desktop.NO_TRAY_HOST

    def _toast(self, toast: Toast) -> None:
        log.info("%s: %s", toast.title, toast.text)
        self._toasts.show(toast)

    def _hand_over(self, toast: Toast) -> None:
        note = desktop.Note(
            *(toast.title, toast.text, toast.topic),
            icon=str(icons.path(_IMAGES[toast.kind], _TOAST_IMAGE_SIZE)),
            urgency=_URGENCIES[toast.kind],
            button=toast.button,
            on_open=partial(self._command, toast.opens) if toast.opens else None,
        )
        if not self._notifications.show(note):
            self._icon.tell(toast)


def _show_other(paths: Paths, url: str) -> str | None:
    """Ask the instance that is there already to show itself; returns why nothing is to be seen of it, if so.

    Raises OSError, ValueError or HTTPException if it does not answer as it should.
    """
    request = urllib.request.Request(f"{url}/api/app/show", method="POST")  # noqa: S310 - our own loopback address
    request.add_header("X-Aura-Token", token.read_or_create(paths.run))
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
    with direct.open(request, timeout=_SHOW_SECONDS) as answer:
        body = msgspec.json.decode(answer.read(_SHOW_BYTES), type=ShownBody)
    # An older one gives no reason.
    return None if body.shown else body.reason or "It runs without an icon."


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for the error that it is here: it would bring the token to somebody else."""

    def redirect_request(self, *_: object) -> None:
        """Nothing to ask for instead."""


def _complain(error: CoreError | OSError, options: argparse.Namespace) -> int:
    log.error("%s", headless.in_words(error), extra=sidecar_log.FILE_ONLY)
    code = headless.complain(error)
    if not options.headless:
        windowed.show(headless.in_words(error))
    return code


if __name__ == "__main__":
    console.detach()
    sys.exit(main())
