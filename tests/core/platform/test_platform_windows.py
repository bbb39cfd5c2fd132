"""The Windows half of the seam, against the real kernel and a real Ollama."""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.platform.event import Event
from core.platform.successor import Successor
from tests import tied
from tests.beds import gguf
from tests.beds.ollama import ollama as ollama_bed
from tests.beds.require import require

if sys.platform != "win32":
    raise ImportError("These tests are for Windows only")

from core.platform import _win32api as win32
from core.platform import windows

ROOT = str(Path(__file__).parents[3])
PYTHON = [sys.executable, "-I", "-S"]
SLEEPER = [*PYTHON, "-c", "import time; time.sleep(600)"]
# Prints the pid of a grandchild that would outlive it, then waits to be killed.
PARENT = [
    *PYTHON,
    "-c",
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-I', '-S', '-c', 'import time; time.sleep(600)'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(600)\n",
]
# Ends with 7 when Ctrl-C reaches it.
LISTENER = [
    *PYTHON,
    "-c",
    "import os, signal, time\n"
    "signal.signal(signal.SIGINT, lambda *_: os._exit(7))\n"
    "print('ready', flush=True)\n"
    "while True: time.sleep(0.05)\n",
]
DEADLINE_SECONDS = 60.0


def eventually(condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait for a condition that no event announces."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        time.sleep(0.02)


def gone(pid: int, birth: str | None) -> bool:
    return birth is None or windows.birth(pid) != birth


def new_event_name() -> str:
    return rf"Local\aura-ollama-{secrets.token_hex(8)}"


@contextlib.contextmanager
def child(argv: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(argv, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait(DEADLINE_SECONDS)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


class Run:
    """A tree with its output on one pipe."""

    def __init__(self, argv: list[str], env: dict[str, str] | None = None, cwd: str = ROOT) -> None:
        self.stop_event = new_event_name()
        reader, writer = os.pipe()
        self.output = os.fdopen(reader, "rb")
        try:
            self.tree = windows.Tree(argv, env or dict(os.environ), cwd, writer, writer, self.stop_event, Successor([]))
        except BaseException:
            self.output.close()
            raise
        finally:
            os.close(writer)

    def line(self) -> str:
        return self.output.readline().decode().strip()

    def close(self) -> None:
        self.tree.close()
        self.output.close()


@pytest.fixture
def run() -> Iterator[Callable[..., Run]]:
    with contextlib.ExitStack() as runs:

        def start(*arguments: Any, **options: Any) -> Run:
            started = Run(*arguments, **options)
            runs.callback(started.close)
            return started

        yield start


# --- identity ---------------------------------------------------------------------------------------------------------


def test_birth_is_the_kernels_creation_time_and_does_not_change() -> None:
    with child(SLEEPER) as process:
        first = windows.birth(process.pid)
        assert first is not None
        assert first.isdecimal()
        assert windows.birth(process.pid) == first
        # FILETIME counts from 1601, in 100 ns.
        assert int(first) / 1e7 - 11_644_473_600 == pytest.approx(time.time(), abs=60)


def test_two_processes_have_different_births() -> None:
    with child(SLEEPER) as one, child(SLEEPER) as other:
        assert windows.birth(one.pid) != windows.birth(other.pid)


def test_an_ended_process_has_no_birth_though_somebody_still_holds_it() -> None:
    with child([*PYTHON, "-c", ""]) as process:
        process.wait(DEADLINE_SECONDS)
        assert windows.birth(process.pid) is None


def test_a_process_that_ended_with_the_code_that_means_still_active_has_no_birth() -> None:
    with child([*PYTHON, "-c", "import os; os._exit(259)"]) as process:
        process.wait(DEADLINE_SECONDS)
        assert windows.birth(process.pid) is None


@pytest.mark.parametrize("pid", [0, -1, 0x7FFF_FFFC])
def test_a_pid_that_no_process_has_has_no_birth(pid: int) -> None:
    assert windows.birth(pid) is None


def test_a_pid_beside_a_real_one_is_not_taken_for_it() -> None:
    """Windows ignores the lowest two bits of a pid."""
    assert windows.birth(os.getpid()) is not None
    assert [windows.birth(os.getpid() + offset) for offset in (1, 2, 3)] == [None] * 3


# --- files and folders ------------------------------------------------------------------------------------------------


def test_known_executables_are_the_three_places_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ProgramFiles", r"C:\Program Files")
    monkeypatch.setenv("LOCALAPPDATA", r"C:\Users\me\AppData\Local")
    assert windows.known_executables() == [
        r"C:\Program Files\Ollama\ollama.exe",
        r"C:\Users\me\AppData\Local\Programs\Ollama\ollama.exe",
        r"C:\Users\me\AppData\Local\Ollama\ollama.exe",
    ]


def test_known_executables_leave_out_places_whose_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ProgramFiles", r"C:\Program Files")
    monkeypatch.delenv("LOCALAPPDATA")
    assert windows.known_executables() == [r"C:\Program Files\Ollama\ollama.exe"]


def test_replace_file_overwrites(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    windows.replace_file(str(tmp_path / "new"), str(tmp_path / "old"))
    assert (tmp_path / "old").read_text() == "new"
    assert not (tmp_path / "new").exists()


def test_replace_file_waits_until_a_reader_lets_go(tmp_path: Path) -> None:
    source, target = tmp_path / "new", tmp_path / "old"
    source.write_text("new")
    target.write_text("old")
    with target.open() as reader:
        assert reader.read() == "old"
        replacing = threading.Thread(target=windows.replace_file, args=(str(source), str(target)))
        replacing.start()
        replacing.join(0.2)
        assert replacing.is_alive()
        assert source.exists()
    replacing.join(DEADLINE_SECONDS)
    assert target.read_text() == "new"


def test_replace_file_gives_up_after_two_seconds_and_leaves_both_files(tmp_path: Path) -> None:
    source, target = tmp_path / "new", tmp_path / "old"
    source.write_text("new")
    target.write_text("old")
    with target.open():
        begun = time.monotonic()
        with pytest.raises(PermissionError):
            windows.replace_file(str(source), str(target))
        assert 1.9 < time.monotonic() - begun < 5
    assert (source.read_text(), target.read_text()) == ("new", "old")


def test_replace_file_does_not_wait_for_a_source_that_is_missing(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(FileNotFoundError):
        windows.replace_file(str(tmp_path / "none"), str(tmp_path / "old"))
    assert time.monotonic() - begun < 1


def test_unlink_file_says_whether_the_file_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("line")
    with file.open():
        assert windows.unlink_file(str(file)) is False
        assert file.exists()
    assert windows.unlink_file(str(file)) is True
    assert not file.exists()
    assert windows.unlink_file(str(file)) is True


def access_list(path: Path) -> str:
    """The folder's access list in SDDL, read back from the file system."""
    advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)
    descriptor = ctypes.create_string_buffer(4096)
    needed, text = ctypes.c_uint32(), ctypes.c_wchar_p()
    kind = ctypes.c_uint32(4)
    if not advapi32.GetFileSecurityW(str(path), kind, descriptor, len(descriptor), ctypes.byref(needed)):
        raise ctypes.WinError(ctypes.get_last_error())
    convert = advapi32.ConvertSecurityDescriptorToStringSecurityDescriptorW
    if not convert(descriptor, 1, kind, ctypes.byref(text), None):
        raise ctypes.WinError(ctypes.get_last_error())
    assert text.value is not None
    return text.value


NOT_PROTECTED_ON_WINE = tied.beyond_wine("it adds what the parent folder hands down")


@pytest.mark.parametrize("there_before", [False, pytest.param(True, marks=NOT_PROTECTED_ON_WINE)])
def test_a_private_folder_lets_in_only_the_user_system_and_administrators(tmp_path: Path, there_before: bool) -> None:
    folder = tmp_path / "deep" / "run"
    if there_before:
        folder.mkdir(parents=True)
    windows.make_private_dir(str(folder))
    entries = access_list(folder).partition("(")[2].rstrip(")").split(")(")
    users = {entry.rpartition(";")[2] for entry in entries}
    assert users <= {win32._user_sid(), "SY", "BA", "LA"}
    assert users & {win32._user_sid(), "BA", "LA"}
    (folder / "token").write_text("secret")
    assert (folder / "token").read_text() == "secret"


def test_many_threads_may_close_a_folder_at_once(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(100)]
    together = threading.Barrier(8)

    def close(_: int) -> None:
        try:
            for folder in folders:
                together.wait(DEADLINE_SECONDS)
                windows.make_private_dir(str(folder))
        except OSError:
            together.abort()
            raise

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(close, range(8)))


def test_a_file_is_not_taken_for_a_private_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(FileExistsError):
        windows.make_private_dir(str(tmp_path / "run"))


# --- one process ------------------------------------------------------------------------------------------------------


def test_kill_ends_the_process_it_names() -> None:
    with child(SLEEPER) as process:
        birth = windows.birth(process.pid)
        assert birth is not None
        assert windows.kill(process.pid, birth) is True
        assert process.wait(DEADLINE_SECONDS) == 1
        assert windows.kill(process.pid, birth) is False


def test_kill_leaves_a_process_with_another_birth_alone() -> None:
    with child(SLEEPER) as process:
        birth = windows.birth(process.pid)
        assert birth is not None
        assert windows.kill(process.pid, str(int(birth) + 1)) is False
        assert windows.birth(process.pid) == birth


def test_an_error_of_a_look_that_says_nothing_of_the_process_is_raised() -> None:
    gone = [win32.ERROR_INVALID_PARAMETER, win32.ERROR_ACCESS_DENIED]
    no_resources, no_memory, too_many_files = 1450, 8, 4
    assert [windows.says_gone(ctypes.WinError(number)) for number in gone] == [True, True]
    unclear = [no_resources, no_memory, too_many_files]
    assert [windows.says_gone(ctypes.WinError(number)) for number in unclear] == [False, False, False]
    assert windows.birth(0xFFFF_FFFC) is None


# --- shims ------------------------------------------------------------------------------------------------------------

SHIM = [
    *PYTHON,
    "-c",
    f"import os, sys; sys.path.insert(0, {ROOT!r})\n"
    "from core.platform import _win32api as win32, windows\n"
    "event = win32.create_named_event(sys.argv[1])\n"
    "print(os.getpid(), windows.birth(os.getpid()), flush=True)\n"
    "win32.wait_any([event], None)\n"
    "print('stopping', file=sys.stderr, flush=True)\n",
]


def test_a_shim_outlives_its_parent_and_ends_when_asked() -> None:
    """A parent starts the shim and is killed; the shim still writes to the pipe it was given."""
    stop_event = new_event_name()
    parent_code = (
        f"import sys; sys.path.insert(0, {ROOT!r})\n"
        "from core.platform import windows\n"
        f"shim = windows.spawn_shim({[*SHIM, stop_event]!r}, {ROOT!r}, 1)\n"
        "shim.wait()\n"
    )
    with child([*PYTHON, "-c", parent_code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid, birth = parent.stdout.readline().decode().split()
        parent.kill()
        parent.wait(DEADLINE_SECONDS)
        try:
            assert windows.birth(int(pid)) == birth
            assert windows.ask_shim(int(pid), "1", stop_event) is False
            assert windows.ask_shim(int(pid), birth, stop_event) is True
            assert parent.stdout.read().decode().split() == ["stopping"]
            eventually(lambda: windows.birth(int(pid)) is None, "the shim's end")
            assert windows.ask_shim(int(pid), birth, stop_event) is False
        finally:
            windows.kill(int(pid), birth)


def test_ask_shim_is_false_for_a_process_without_that_event() -> None:
    birth = windows.birth(os.getpid())
    assert birth is not None
    assert windows.ask_shim(os.getpid(), birth, new_event_name()) is False


def test_a_shim_stays_in_a_job_that_lets_nobody_go_and_the_log_says_so() -> None:
    """A launcher in a job without breakaway starts a shim: the log warns, and the shim ends with that job."""
    stop_event = new_event_name()
    code = (
        f"import sys; sys.path.insert(0, {ROOT!r})\n"
        "import logging; logging.basicConfig(stream=sys.stdout, format='%(levelname)s')\n"
        "from core.platform import windows\n"
        "sys.stdin.readline()\n"
        f"shim = windows.spawn_shim({[*SHIM, stop_event]!r}, {ROOT!r}, 1)\n"
        "print('started', flush=True)\n"
        "shim.wait()\n"
    )
    job = win32.create_job()
    with job, child([*PYTHON, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as launcher:
        with win32.open_process(launcher.pid, win32.PROCESS_SET_QUOTA | win32.PROCESS_TERMINATE) as process:
            win32.assign(job, process)
        assert launcher.stdin is not None
        assert launcher.stdout is not None
        launcher.stdin.write(b"\n")
        launcher.stdin.flush()
        lines: list[list[str]] = []
        while ["started"] not in lines or {len(line) for line in lines} != {1, 2}:
            lines.append(launcher.stdout.readline().decode().split())
        assert [logging.getLevelName(logging.WARNING)] in lines
        pid, birth = max(lines, key=len)
        job.close()
        eventually(lambda: gone(int(pid), birth), "the shim's end with the job")


def test_a_shim_that_cannot_be_started_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        windows.spawn_shim([str(Path(ROOT, "none.exe"))], ROOT, 1)


# --- a tree -----------------------------------------------------------------------------------------------------------


def test_a_tree_tells_the_programs_exit_once_with_its_code(run: Callable[..., Run]) -> None:
    started = run([*PYTHON, "-c", "import os; print('out', flush=True); os._exit(42)"])
    assert started.tree.exit_code is None
    assert started.line() == "out"
    assert started.tree.next_event(DEADLINE_SECONDS) is Event.EXITED
    assert started.tree.exit_code == 42
    assert started.tree.next_event(0) is Event.TIMEOUT
    eventually(started.tree.empty, "the tree's end")


def test_a_tree_that_lives_reports_its_birth_and_is_not_empty(run: Callable[..., Run]) -> None:
    started = run(SLEEPER)
    assert windows.birth(started.tree.pid) == started.tree.birth
    assert started.tree.empty() is False
    assert started.tree.next_event(0.05) is Event.TIMEOUT


def test_a_tree_gets_its_folder_environment_and_an_empty_stdin(run: Callable[..., Run], tmp_path: Path) -> None:
    code = "import os, sys; print(os.getcwd(), os.environ['AURA_A'], repr(sys.stdin.read()), sep='|', flush=True)"
    started = run([*PYTHON, "-c", code], env={**os.environ, "AURA_A": "1"}, cwd=str(tmp_path))
    assert started.line() == f"{tmp_path}|1|''"


def test_a_tree_hears_the_stop_event_each_time_it_is_set_also_after_the_exit(run: Callable[..., Run]) -> None:
    started = run([*PYTHON, "-c", "input()"])
    with win32.open_event(started.stop_event) as event:
        assert started.tree.next_event(DEADLINE_SECONDS) is Event.EXITED
        for _ in range(2):
            win32.set_event(event)
            assert started.tree.next_event(DEADLINE_SECONDS) is Event.STOP
            assert started.tree.next_event(0) is Event.TIMEOUT


def test_a_stop_wakes_a_tree_that_waits_without_limit(run: Callable[..., Run]) -> None:
    started = run(SLEEPER)
    birth = windows.birth(os.getpid())
    assert birth is not None
    timer = threading.Timer(0.1, windows.ask_shim, (os.getpid(), birth, started.stop_event))
    timer.start()
    assert started.tree.next_event(None) is Event.STOP
    timer.join()


def test_the_pipe_ends_with_the_program_since_nobody_else_holds_it(run: Callable[..., Run]) -> None:
    """A process started meanwhile inherits nothing of it, and neither does the shim's own console helper."""
    started = run([*PYTHON, "-c", "print('bye', flush=True)"])
    with child(SLEEPER):
        assert started.output.read().split() == [b"bye"]


def test_ask_reaches_the_program_as_ctrl_c_once(run: Callable[..., Run]) -> None:
    started = run(LISTENER)
    assert started.line() == "ready"
    started.tree.ask()
    started.tree.ask()
    assert started.tree.next_event(DEADLINE_SECONDS) is Event.EXITED
    assert started.tree.exit_code == 7
    started.tree.ask()
    assert started.output.read() == b""


def test_ask_reaches_the_program_also_where_a_launcher_made_its_children_ignore_ctrl_c() -> None:
    code = (
        f"import ctypes, os, sys; sys.path.insert(0, {ROOT!r})\n"
        "ctypes.WinDLL('kernel32').SetConsoleCtrlHandler(None, 1)\n"
        "from core.platform import windows\n"
        "from core.platform.successor import Successor\n"
        f"tree = windows.Tree({LISTENER!r}, dict(os.environ), {ROOT!r}, 1, 1, {new_event_name()!r}, Successor([]))\n"
        "sys.stdin.readline()\n"
        "tree.ask()\n"
        f"tree.next_event({DEADLINE_SECONDS})\n"
        "print(tree.exit_code, flush=True)\n"
        "tree.close()\n"
    )
    with child([*PYTHON, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        assert owner.stdout.readline().split() == [b"ready"]
        owner.stdin.close()
        assert owner.stdout.read().split() == [b"7"]


def test_ask_leaves_other_trees_and_this_process_alone(run: Callable[..., Run]) -> None:
    asked, other = run(LISTENER), run(LISTENER)
    assert (asked.line(), other.line()) == ("ready", "ready")
    asked.tree.ask()
    assert asked.tree.next_event(DEADLINE_SECONDS) is Event.EXITED
    assert other.tree.next_event(0.2) is Event.TIMEOUT


def test_a_job_tells_who_is_in_it() -> None:
    with win32.create_job() as job, child(SLEEPER) as process:
        assert win32.job_pids(job) == []
        with win32.open_process(process.pid, win32.PROCESS_SET_QUOTA | win32.PROCESS_TERMINATE) as handle:
            win32.assign(job, handle)
        assert win32.job_pids(job) == [process.pid]


def test_kill_ends_the_whole_tree(run: Callable[..., Run]) -> None:
    started = run(PARENT)
    pid = int(started.line())
    birth = windows.birth(pid)
    assert birth is not None
    assert started.tree.kill(DEADLINE_SECONDS) == []
    assert started.tree.next_event(DEADLINE_SECONDS) is Event.EXITED
    assert started.tree.exit_code == 1
    eventually(started.tree.empty, "the tree's end")
    assert gone(pid, birth)


def test_a_tree_is_not_empty_while_an_orphan_lives_and_close_ends_it(run: Callable[..., Run]) -> None:
    started = run(PARENT)
    pid = int(started.line())
    birth = windows.birth(pid)
    assert birth is not None
    assert windows.kill(started.tree.pid, started.tree.birth)
    assert started.tree.next_event(DEADLINE_SECONDS) is Event.EXITED
    assert started.tree.empty() is False
    started.tree.close()
    started.tree.close()
    eventually(lambda: gone(pid, birth), "the orphan's end")


def test_a_tree_ends_when_its_owner_is_terminated() -> None:
    code = (
        f"import os, sys; sys.path.insert(0, {ROOT!r})\n"
        "from core.platform import windows\n"
        "from core.platform.successor import Successor\n"
        f"tree = windows.Tree({PARENT!r}, dict(os.environ), {ROOT!r}, 1, 1, {new_event_name()!r}, Successor([]))\n"
        "print(tree.pid, flush=True)\n"
        "tree.next_event(None)\n"
    )
    with child([*PYTHON, "-c", code], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pids = [int(owner.stdout.readline()) for _ in range(2)]
        births = [windows.birth(pid) for pid in pids]
        assert None not in births
        owner.kill()
        owner.wait(DEADLINE_SECONDS)
        eventually(lambda: all(map(gone, pids, births)), "the end of both")


def test_a_program_that_cannot_be_spawned_is_an_error_and_its_event_is_gone(tmp_path: Path) -> None:
    name = new_event_name()
    with pytest.raises(FileNotFoundError):
        windows.Tree([str(tmp_path / "none.exe")], dict(os.environ), ROOT, 1, 1, name, Successor([]))
    with pytest.raises(FileNotFoundError):
        win32.open_event(name)


def test_a_stop_event_that_somebody_else_made_is_refused_and_nothing_is_spawned() -> None:
    before = {process.pid for process in psutil.Process().children()}
    name = new_event_name()
    with win32.create_named_event(name), pytest.raises(OSError, match=r"."):
        windows.Tree(SLEEPER, dict(os.environ), ROOT, 1, 1, name, Successor([]))
    assert {process.pid for process in psutil.Process().children()} == before


# --- a real Ollama ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def bed() -> Path:
    return require(ollama_bed).executable.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Ollama:
    """A real server in a tree, its output drained, its models in a folder of its own."""

    def __init__(self, executable: Path, models: Path) -> None:
        self.port = free_port()
        self.env = {**os.environ, "OLLAMA_HOST": f"127.0.0.1:{self.port}", "OLLAMA_MODELS": str(models)}
        self.run = Run([str(executable), "serve"], env=self.env)
        self.tree = self.run.tree
        self.printed: list[bytes] = []
        self._drain = threading.Thread(target=lambda: self.printed.extend(self.run.output))
        self._drain.start()

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/version", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            result: dict[str, Any] = json.load(answer)
            return result

    def load_a_model(self, bed: Path, folder: Path) -> None:
        gguf.write_tiny_model(folder / "tiny.gguf")
        modelfile = folder / "Modelfile"
        modelfile.write_text(f"FROM {folder / 'tiny.gguf'}\n")
        command = [str(bed / "ollama.exe"), "create", "tiny", "-f", str(modelfile)]
        subprocess.run(command, env=self.env, check=True, capture_output=True, timeout=60)
        # The tiny model never ends a text by itself.
        question = {"model": "tiny", "prompt": "a", "stream": False, "options": {"num_predict": 3}}
        answer = self.post("/api/generate", question)
        assert answer["done"] is True

    def close(self) -> None:
        self.tree.close()
        self._drain.join(DEADLINE_SECONDS)
        self.run.output.close()


@pytest.fixture(params=["bare", "wrapped"])
def ollama(request: pytest.FixtureRequest, bed: Path, tmp_path: Path) -> Iterator[Ollama]:
    server = Ollama(bed / ("ollama.exe" if request.param == "bare" else r"wrap\ollama.exe"), tmp_path / "models")
    try:
        eventually(server.answers, "an answering Ollama")
        yield server
    finally:
        server.close()


def members(tree: windows.Tree) -> dict[int, str | None]:
    found = [psutil.Process(tree.pid), *psutil.Process(tree.pid).children(recursive=True)]
    return {process.pid: windows.birth(process.pid) for process in found}


@pytest.mark.timeout(120)  # starts a real server
def test_a_real_ollama_ends_politely_when_asked(ollama: Ollama, bed: Path, tmp_path: Path) -> None:
    """With a model loaded. Only the bare server's exit code is Ollama's own: the front dies of Ctrl-C itself."""
    ollama.load_a_model(bed, tmp_path)
    processes = members(ollama.tree)
    wrapped = any("ollama-lib" in " ".join(psutil.Process(pid).cmdline()) for pid in processes)
    ollama.tree.ask()
    assert ollama.tree.next_event(DEADLINE_SECONDS) is Event.EXITED
    assert wrapped or ollama.tree.exit_code == 0
    eventually(ollama.tree.empty, "the tree's end")
    assert all(gone(pid, birth) for pid, birth in processes.items())
    assert not ollama.answers()


@pytest.mark.timeout(120)  # starts a real server
def test_kill_ends_a_real_ollama_with_its_model_runner(ollama: Ollama, bed: Path, tmp_path: Path) -> None:
    ollama.load_a_model(bed, tmp_path)
    processes = members(ollama.tree)
    assert len(processes) >= 2
    assert ollama.tree.kill(DEADLINE_SECONDS) == []
    assert ollama.tree.next_event(DEADLINE_SECONDS) is Event.EXITED
    eventually(ollama.tree.empty, "the tree's end")
    assert all(gone(pid, birth) for pid, birth in processes.items())
    assert not ollama.answers()


@pytest.mark.timeout(120)  # starts a real server
def test_what_the_killed_front_left_behind_is_still_in_the_tree(ollama: Ollama, bed: Path, tmp_path: Path) -> None:
    """TerminateProcess on the program alone orphans the runner, and the wrapped server still answers."""
    ollama.load_a_model(bed, tmp_path)
    processes = members(ollama.tree)
    assert windows.kill(ollama.tree.pid, ollama.tree.birth)
    assert ollama.tree.next_event(DEADLINE_SECONDS) is Event.EXITED
    assert ollama.tree.empty() is False
    assert ollama.tree.kill(DEADLINE_SECONDS) == []
    eventually(ollama.tree.empty, "the tree's end")
    assert all(gone(pid, birth) for pid, birth in processes.items())
    assert not ollama.answers()
