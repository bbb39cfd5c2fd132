"""A runnable stand-in for `ollama`, for what the real one cannot be made to do. Standard library only.

`install(folder, FAKE_EXIT="3")` writes an executable `ollama` that behaves as told; `python fake_ollama.py serve` reads
the same names from its environment. Like the real one it listens on OLLAMA_HOST (127.0.0.1:11434 if unset), says so on
standard error, answers `/`, `/api/version`, `/api/tags` and `/api/ps`, ends with 0 on SIGTERM and SIGINT (Ctrl-C on
Windows), and with 1 and the real one's words if the port is taken.

| name               | value   | effect                                                                              |
|--------------------|---------|-------------------------------------------------------------------------------------|
| FAKE_STDERR        | text    | goes to standard error first                                                        |
| FAKE_EXIT          | code    | ends with it once everything is printed, without listening                          |
| FAKE_NO_LISTEN     | 1       | never listens, and stays                                                            |
| FAKE_LISTEN_AFTER  | seconds | listens only then                                                                   |
| FAKE_SERVE_AFTER   | seconds | listens at once and answers only then                                               |
| FAKE_VERSION       | text    | the version it says it is (0.9.3)                                                   |
| FAKE_VERSION_DELAY | seconds | `/api/version` answers that late                                                    |
| FAKE_HELLO_CODE    | code    | `/` answers with this status                                                        |
| FAKE_HELLO_DELAY   | seconds | `/` answers that late                                                               |
| FAKE_STATUS        | code    | `/api/version` and `/api/tags` answer with this status                              |
| FAKE_TAGS          | JSON    | what `/api/tags` answers instead of its list                                        |
| FAKE_TAGS_STATUS   | code    | `/api/tags` answers with this status                                                |
| FAKE_TAGS_DELAY    | seconds | `/api/tags` answers that late                                                       |
| FAKE_NOT_OLLAMA    | 1       | every path answers 200 with a page of some other program                            |
| FAKE_MODELS        | names   | what `/api/tags` lists, divided by commas; `/api/ps` says that the first is loaded  |
| FAKE_IGNORE_TERM   | 1       | SIGTERM and SIGINT, or Ctrl-C, have no effect                                       |
| FAKE_CRASH_AFTER   | seconds | ends with FAKE_CRASH_CODE that long after it began to listen                        |
| FAKE_CRASH_CODE    | code    | for FAKE_CRASH_AFTER and `GET /crash` (3)                                           |
| FAKE_PRINT_MB      | number  | prints at least that many 10⁶ bytes of `plain_line(0)`, `plain_line(1)`, …          |
| FAKE_PRINT_LONG_MB | number  | prints that many 10⁶ bytes `x` without a newline, and then one newline              |
| FAKE_PRINT_DIRTY   | count   | prints `dirty_line(0)`, `dirty_line(1)`, …: invalid UTF-8, NULs, ANSI codes         |
| FAKE_COUNT         | path    | prints `plain_line(0)`, `plain_line(1)`, … without end, one a millisecond at most,  |
|                    |         | and writes after each how many are out into that file, always 10 digits             |
| FAKE_PRINT_EVERY   | seconds | prints `plain_line(0)`, `plain_line(1)`, … without end, one each so many seconds    |
| FAKE_PRINT_CLOCK   | seconds | prints its `time.monotonic_ns()` after ` clock `, one line each so many seconds      |
| FAKE_PRINT_TO      | out,err | where those six go (out)                                                          |
| FAKE_GRANDCHILD    | path    | before all else starts a process that ignores SIGTERM and SIGINT, lives 10 minutes, |
|                    |         | holds standard error open and has lost its parent; its pid is written to that file  |
| FAKE_ENV_FILE      | path    | the environment it was given is written there first, as a JSON object               |

Printing begins at once and at full speed, beside the answers. `GET /printed` answers when all is out, `GET /crash` ends
the program with FAKE_CRASH_CODE instead of an answer, and `GET /hang` never answers.
"""

from __future__ import annotations

import ctypes
import http.server
import json
import os
import shlex
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

MEGABYTE = 1_000_000
LINES_A_WRITE = 5_000
ORPHAN = "import time; time.sleep(600)"
PARENT_OF_ORPHAN = f"""
import signal, subprocess, sys
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
if sys.platform == "win32":
    import ctypes
    ctypes.windll.kernel32.SetConsoleCtrlHandler(None, True)
command = [sys.executable, "-I", "-S", "-c", {ORPHAN!r}]
print(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr).pid)
"""


def install(folder: Path, **env: str) -> Path:
    """Write the executable `folder/ollama` (`ollama.exe`), which is this program with the FAKE_* values of `env`.

    Repeating it in the same folder changes what the next start does.
    """
    unknown = [name for name in env if f"| {name} " not in str(__doc__)]
    if unknown:
        raise ValueError(f"no such behaviour: {', '.join(unknown)}")
    folder.mkdir(parents=True, exist_ok=True)
    return _install_for_windows(folder, env) if sys.platform == "win32" else _install_script(folder, env)


def _install_script(folder: Path, env: dict[str, str]) -> Path:
    command = shlex.join([sys.executable, "-I", "-S", str(Path(__file__).resolve())])
    exports = [f"export {name}={shlex.quote(value)}" for name, value in env.items()]
    program = folder / "ollama"
    # A shell script, since a #! line holds no interpreter with a space in its path.
    program.write_text("\n".join(["#!/bin/sh", *exports, f'exec {command} "$@"', ""]))
    program.chmod(0o755)
    return program


def _install_for_windows(folder: Path, env: dict[str, str]) -> Path:
    """A second name for the interpreter, which runs us before it looks at its arguments.

    One process, as the real one is. The search path file makes it start without the environment's PYTHON* variables:
    https://docs.python.org/3.11/using/windows.html#finding-modules
    """
    home = Path(sys.base_prefix)
    program = folder / "ollama.exe"
    if not program.exists():
        for library in home.glob("*.dll"):
            shutil.copyfile(library, folder / library.name)
        shutil.copyfile(home / "python.exe", program)
    # A failed start is tried again once the program has changed.
    os.utime(program)
    paths = [home / "Lib", home / "DLLs", folder]
    (folder / "ollama._pth").write_text("".join(f"{path}\n" for path in paths) + "import site\n", encoding="utf-8")
    (folder / "sitecustomize.py").write_text(
        f"import os, runpy, sys\n"
        f"sys.pycache_prefix = {sys.pycache_prefix!r}\n"
        f"os.environ.update({env!r})\n"
        f"sys.argv, sys.executable = sys.orig_argv, {sys.executable!r}\n"
        f"try:\n"
        f"    runpy.run_path({str(Path(__file__).resolve())!r}, run_name='__main__')\n"
        f"except SystemExit as end:\n"
        f"    sys.stderr.flush()\n"
        f"    os._exit(end.code)\n",
        encoding="utf-8",
    )
    return program


def plain_line(number: int) -> bytes:
    """Line `number` of FAKE_PRINT_MB, 100 bytes with its newline."""
    return b"%010d %s\n" % (number, b"." * 88)


def dirty_line(number: int) -> bytes:
    """Line `number` of FAKE_PRINT_DIRTY, with its newline; every one has the same kinds of dirt."""
    return b"%010d \x1b[31mred\x1b[0m \x00nul \xff\xfe \xc3( half \xe2\x82\t\x1b]0;title\x07 end\r\n" % number


def main(arguments: list[str]) -> int:
    """Be `ollama ARGUMENTS`; only `serve` and, but for Windows, `--version` are known."""
    if arguments == ["--version"]:
        # As the real one says it where no server answers.
        sys.stdout.write(f"Warning: client version is {_text('FAKE_VERSION', '0.9.3')}\n")
        return 0
    if arguments != ["serve"]:
        sys.stderr.write("Error: the fake knows only `ollama serve` and `ollama --version`\n")
        return 2
    _leave_traces()
    _answer_signals()
    sys.stderr.write(_text("FAKE_STDERR"))
    sys.stderr.flush()
    printing = threading.Thread(target=_print_all, daemon=True)
    printing.start()
    if _text("FAKE_EXIT"):
        printing.join()
        return int(_text("FAKE_EXIT"))
    if _text("FAKE_NO_LISTEN"):
        threading.Event().wait()
    time.sleep(_number("FAKE_LISTEN_AFTER"))
    return _serve(printing)


def _text(name: str, default: str = "") -> str:
    return os.environ.get(name, default)


def _number(name: str) -> float:
    return float(_text(name, "0"))


def _leave_traces() -> None:
    if grandchild := _text("FAKE_GRANDCHILD"):
        command = [sys.executable, "-I", "-S", "-c", PARENT_OF_ORPHAN]
        pid = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        _write_whole(Path(grandchild), pid.strip())
    if env_file := _text("FAKE_ENV_FILE"):
        _write_whole(Path(env_file), json.dumps(dict(os.environ)))


def _write_whole(path: Path, text: str) -> None:
    """A reader who sees the file sees all of it."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text)
    part.replace(path)


def _answer_signals() -> None:
    if sys.platform == "win32":
        # Python's own handler runs in the main thread only, which may wait where Ctrl-C cannot wake it.
        ctypes.windll.kernel32.SetConsoleCtrlHandler(_on_console_event, True)
        return
    ignore = bool(_text("FAKE_IGNORE_TERM"))
    for number in (signal.SIGTERM, signal.SIGINT):
        # The kernel may hold the printing thread in a full pipe, so nothing is waited for.
        signal.signal(number, signal.SIG_IGN if ignore else lambda *_: os._exit(0))


if sys.platform == "win32":

    def _end_unless_told_to_ignore(event: int) -> bool:
        if not _text("FAKE_IGNORE_TERM"):
            os._exit(0)
        return True

    _on_console_event = ctypes.WINFUNCTYPE(ctypes.c_int, ctypes.c_uint)(_end_unless_told_to_ignore)


def _print_all() -> None:
    target = 2 if _text("FAKE_PRINT_TO") == "err" else 1
    wanted = int(_number("FAKE_PRINT_MB") * MEGABYTE)
    _print_lines(target, plain_line, -(-wanted // len(plain_line(0))))
    long = int(_number("FAKE_PRINT_LONG_MB") * MEGABYTE)
    for begin in range(0, long, MEGABYTE):
        _write(target, b"x" * min(MEGABYTE, long - begin))
    if long:
        _write(target, b"\n")
    _print_lines(target, dirty_line, int(_number("FAKE_PRINT_DIRTY")))
    if count := _text("FAKE_COUNT"):
        _print_counted(target, count)
    if pause := _number("FAKE_PRINT_EVERY"):
        _print_slowly(target, pause, plain_line)
    if pause := _number("FAKE_PRINT_CLOCK"):
        _print_slowly(target, pause, lambda _: b"print clock %d\n" % time.monotonic_ns())


def _print_lines(target: int, line: Callable[[int], bytes], lines: int) -> None:
    for begin in range(0, lines, LINES_A_WRITE):
        _write(target, b"".join(map(line, range(begin, min(begin + LINES_A_WRITE, lines)))))


def _print_counted(target: int, path: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    number = 0
    while True:
        _write(target, plain_line(number))
        number += 1
        # One write of few bytes: a reader sees the old number or the new one.
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, b"%010d" % number)
        time.sleep(0.001)


def _print_slowly(target: int, pause: float, line: Callable[[int], bytes]) -> None:
    number = 0
    while True:
        time.sleep(pause)
        _write(target, line(number))
        number += 1


def _write(target: int, block: bytes) -> None:
    while block:
        block = block[os.write(target, block) :]


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    request_queue_size = 128
    # On Windows that option would let two servers share one port.
    allow_reuse_address = sys.platform != "win32"

    def __init__(self, host: str, port: int, printing: threading.Thread) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.printing = printing
        super().__init__((host, port), _Answers)


class _Answers(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # As Go's server does; head and body are two writes here, and the second would wait 40 ms.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if _text("FAKE_NOT_OLLAMA"):
            self._answer(200, "<h1>Another program</h1>", "text/html")
            return
        match self.path.partition("?")[0]:
            case "/":
                time.sleep(_number("FAKE_HELLO_DELAY"))
                code = int(_text("FAKE_HELLO_CODE", "200"))
                self._answer(code, "Ollama is running", "text/plain; charset=utf-8")
            case "/api/version":
                time.sleep(_number("FAKE_VERSION_DELAY"))
                self._answer(_status(), {"version": _version()})
            case "/api/tags":
                time.sleep(_number("FAKE_TAGS_DELAY"))
                status = int(_text("FAKE_TAGS_STATUS", str(_status())))
                self._answer(status, _text("FAKE_TAGS") or {"models": _models()})
            case "/api/ps":
                self._answer(200, {"models": _models()[:1]})
            case "/printed":
                self.server.printing.join()
                self._answer(200, {"printed": True})
            case "/crash":
                _crash()
            case "/hang":
                threading.Event().wait()
            case _:
                self._answer(404, "404 page not found", "text/plain")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, status: int, content: object, kind: str = "application/json; charset=utf-8") -> None:
        body = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: tests count the lines that they asked for."""


def _serve(printing: threading.Thread) -> int:
    host, _, port = _text("OLLAMA_HOST", "127.0.0.1:11434").rpartition(":")
    try:
        server = _Server(host.strip("[]"), int(port), printing)
    except OSError as refusal:
        # Where Go finds no text for a number of Windows, it says the number.
        number = getattr(refusal, "winerror", None)
        words = f"winapi error #{number}" if number else str(refusal.strerror).lower()
        sys.stderr.write(f"Error: listen tcp {host}:{port}: bind: {words}\n")
        return 1
    sys.stderr.write(f"Listening on {host}:{server.server_address[1]} (version {_version()})\n")
    sys.stderr.flush()
    if after := _number("FAKE_CRASH_AFTER"):
        threading.Timer(after, _crash).start()
    time.sleep(_number("FAKE_SERVE_AFTER"))
    server.serve_forever()
    return 0


def _status() -> int:
    return int(_text("FAKE_STATUS", "200"))


def _version() -> str:
    return _text("FAKE_VERSION", "0.9.3")


def _models() -> list[dict[str, object]]:
    names = filter(None, _text("FAKE_MODELS").split(","))
    return [{"name": name, "model": name, "size": 1, "modified_at": "2025-01-01T00:00:00Z"} for name in names]


def _crash() -> None:
    os._exit(int(_text("FAKE_CRASH_CODE", "3")))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
