"""The owner `launchd:LABEL`, with a real Ollama, against a stand-in for launchctl: `tests.beds.launchd`."""

from __future__ import annotations

import asyncio
import os
import plistlib
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from core.errors import SpawnFailed, StopFailed
from core.owners.exit import Sequel
from core.owners.protocol import Condition, Plan, Running, Terms
from core.owners.services import launchd
from core.owners.services.manager import ServiceFailed
from core.owners.services.owner import ServiceOwner
from core.platform import launchd as platform
from core.settings.owner import parse
from core.settings.paths import Paths
from tests.beds import launchd as bed
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import ollama_environment
from tests.beds.wire import call, free_port, listens
from tests.core.owners.test_copied import CAPS, shown
from tests.core.owners.test_shim_start import plan_for
from tests.words import raw

pytestmark = pytest.mark.timeout(60)  # each call of the stand-in is a Python of its own

LABEL = "homebrew.mxcl.ollama"
DEADLINE = 20.0


class Mac:
    """A home with a property list of Homebrew's kind, whose Ollama listens at `url`."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root / "aura")
        self.paths.data.mkdir(parents=True)
        self.launchctl = bed.install(root / "bin")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = root / "ollama.log"
        self.agents = root / "Library" / "LaunchAgents"
        self.agents.mkdir(parents=True)
        self._home = root
        # The cache of beds lies in the real home.
        self._program = str(require(ollama).executable)

    def write(self, env: dict[str, str] | None = None, **keys: object) -> Path:
        """The property list, with these variables and keys beside what every one has."""
        own = {"OLLAMA_HOST": f"127.0.0.1:{self.port}"}
        env = ollama_environment(self._home, self._home / "models") | own | (env or {})
        content = {"Label": LABEL, "ProgramArguments": [self._program, "serve"], "EnvironmentVariables": env}
        output = {"StandardOutPath": str(self.output), "StandardErrorPath": str(self.output)}
        place = self.agents / f"{LABEL}.plist"
        place.write_bytes(plistlib.dumps(content | output | keys))
        return place

    def owner(self) -> ServiceOwner:
        return launchd.make(self.paths, f"launchd:{LABEL}")

    def plan(self) -> Plan:
        plan = plan_for(self._home / "plan")
        return Plan(plan.executable, self.url, self.port, {}, self.paths.run, self.paths.logs_of("default"), CAPS, 1.0)

    def target(self) -> str:
        return f"{platform.domains()[0]}/{LABEL}"


@pytest.fixture
async def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mac]:
    found = Mac(tmp_path)
    monkeypatch.setenv("PATH", f"{found.launchctl}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    yield found
    await asyncio.to_thread(bed.end, found.launchctl)


class Heard:
    """What an owner tells, as it is told. Contract: `protocol.News`."""

    def __init__(self) -> None:
        self.runs: asyncio.Queue[Running] = asyncio.Queue()
        self.given_up: asyncio.Queue[str | None] = asyncio.Queue()
        self.trouble: str | None = None
        self.has_looked = asyncio.Event()

    async def found(self, running: Running) -> None:
        self.runs.put_nowait(running)

    def gave_up(self, why: str | None) -> None:
        self.given_up.put_nowait(why)

    def condition(self, condition: Condition) -> None:
        raise AssertionError(condition)

    def troubled(self, why: str | None) -> None:
        self.trouble = why

    def looked(self, *, is_known: bool) -> None:
        self.has_looked.set()


def _garbage(mac: Mac) -> None:
    (mac.agents / f"{LABEL}.plist").write_bytes(b"<plist><dict><key>")


def _odd(mac: Mac) -> None:
    (mac.agents / f"{LABEL}.plist").write_bytes(b"bplist00 and no more")


def _folder(mac: Mac) -> None:
    (mac.agents / f"{LABEL}.plist").unlink()
    (mac.agents / f"{LABEL}.plist").mkdir()


def _no_program(mac: Mac) -> None:
    # The kernel cannot run such a file, and says so by an errno of its own.
    (mac.launchctl / "launchctl").write_bytes(b"\x7fELF and no more")


@pytest.mark.parametrize("spoil", [_garbage, _odd, _folder, _no_program])
async def test_what_cannot_be_asked_or_read_is_told_of_in_words(mac: Mac, spoil: Callable[[Mac], None]) -> None:
    mac.write()
    spoil(mac)
    owner = mac.owner()
    texts: list[object] = []
    for wish in (owner.check(mac.plan()), owner.start(mac.plan()), owner.call_off("default")):
        texts += [told for told in await asyncio.gather(wish, return_exceptions=True) if told is not None]
    async with attended(owner) as heard:
        await asyncio.wait_for(heard.has_looked.wait(), DEADLINE)
    assert len(texts) >= 2
    for text in [*texts, *([heard.trouble] if heard.trouble else [])]:
        assert raw(text) is None


@asynccontextmanager
async def attended(owner: ServiceOwner) -> AsyncIterator[Heard]:
    heard = Heard()
    task = asyncio.create_task(owner.attend("default", Terms(1.0, CAPS), heard))
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def soon(queue: asyncio.Queue[Running]) -> Running:
    async with asyncio.timeout(DEADLINE):
        return await queue.get()


async def test_a_job_that_is_not_loaded_is_started_and_stopped_as_often_as_wanted(mac: Mac) -> None:
    mac.write(KeepAlive=True, RunAtLoad=True)
    owner = mac.owner()
    (mac.launchctl / bed.EIO).write_text("1")
    for _ in range(2):
        assert await asyncio.to_thread(platform.job, mac.target()) is None
        running = await owner.start(mac.plan())
        ended = asyncio.create_task(running.ended())
        await until(lambda: listens(mac.port))
        assert (running.url, running.is_lasting, running.owner) == (mac.url, True, f"launchd:{LABEL}")
        assert running.pid in await asyncio.to_thread(running.usage)
        assert await asyncio.to_thread(running.owns, running.pid)
        assert not await asyncio.to_thread(running.owns, os.getpid())
        assert await running.lives()
        await running.stop()
        async with asyncio.timeout(DEADLINE):
            assert (await ended).reason == "stopped"
        assert not listens(mac.port)
        assert not psutil.pid_exists(running.pid)


@pytest.mark.parametrize("hangs", [True, False])
async def test_a_start_that_is_taken_back_leaves_nothing_or_says_so(
    mac: Mac, monkeypatch: pytest.MonkeyPatch, *, hangs: bool
) -> None:
    mac.write()
    owner, held = mac.owner(), mac.launchctl / "held"
    await asyncio.to_thread((mac.launchctl / bed.HOLD).touch)
    starting = asyncio.create_task(owner.start(mac.plan()))
    while not await asyncio.to_thread(held.exists):
        await asyncio.sleep(0.02)
    if hangs:
        monkeypatch.setattr("core.owners.services.owner._TAKE_BACK_SECONDS", 0.05)
    starting.cancel()
    if hangs:
        with pytest.raises(StopFailed, match="is still being started"):
            await starting
        await asyncio.to_thread(held.unlink)
        # It is started after all, and that is seen.
        async with attended(owner) as heard:
            await soon(heard.runs)
        await owner.call_off("default")
    else:
        # The job is loaded only after launchd was told to unload it.
        await asyncio.wait([starting], timeout=0.3)
        await asyncio.to_thread(held.unlink)
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert await asyncio.to_thread(platform.job, mac.target()) is None
    assert not listens(mac.port)


async def test_a_job_that_runs_is_found_and_its_restart_by_launchd_is_seen_as_such(mac: Mac) -> None:
    await asyncio.to_thread(platform.bootstrap, platform.domains()[0], str(mac.write(KeepAlive=True)))
    async with attended(mac.owner()) as heard:
        first = await soon(heard.runs)
        await until(lambda: listens(mac.port))
        ended = asyncio.create_task(first.ended())
        psutil.Process(first.pid).kill()
        async with asyncio.timeout(DEADLINE):
            exit = await ended
        assert (exit.code, exit.sequel) == (-9, Sequel.RESTARTED)
        second = await soon(heard.runs)
        assert second.pid != first.pid
        await until(lambda: listens(mac.port))
        assert call("GET", f"{mac.url}/api/version").status == 200
        # All that both runs printed is in the log, once and in order.
        await until(lambda: shown(mac.paths)[-1:] == mac.output.read_text().splitlines()[-1:])
        assert await asyncio.to_thread(shown, mac.paths) == mac.output.read_text().splitlines()
        assert len(await asyncio.to_thread(os.listdir, mac.paths.logs_of("default"))) == 2
        ended = asyncio.create_task(second.ended())
        await asyncio.to_thread(platform.bootout, mac.target())
        async with asyncio.timeout(DEADLINE):
            assert (await ended).sequel is Sequel.STOPPED


async def test_a_job_that_launchd_does_not_start_again_stays_down_until_it_is_started(mac: Mac) -> None:
    mac.write()
    running = await mac.owner().start(mac.plan())
    ended = asyncio.create_task(running.ended())
    psutil.Process(running.pid).kill()
    async with asyncio.timeout(DEADLINE):
        exit = await ended
    assert (exit.code, exit.sequel) == (-9, Sequel.LEFT)
    again = await mac.owner().start(mac.plan())
    assert again.pid != running.pid


@pytest.mark.parametrize(
    ("keep_alive", "code", "restarts"),
    [
        (True, 0, True),
        (False, 1, False),
        (None, -9, False),
        ({"SuccessfulExit": False}, 1, True),
        ({"SuccessfulExit": False}, 0, False),
        ({"SuccessfulExit": True}, 0, True),
        ({"Crashed": True}, -6, True),
        ({"Crashed": True}, 1, False),
        ({"NetworkState": True}, 0, False),
    ],
)
def test_keep_alive_says_whether_launchd_starts_it_again(keep_alive: object, code: int, *, restarts: bool) -> None:
    assert launchd._restarts(keep_alive, code) is restarts


async def test_an_address_that_is_not_the_jobs_is_told_with_what_would_mend_it(mac: Mac) -> None:
    mac.write()
    with pytest.raises(
        SpawnFailed, match=rf"listens at {mac.url}, and `ollamaUrl` is http://127\.0\.0\.1:1"
    ) as failure:
        await mac.owner().start(replace(mac.plan(), url="http://127.0.0.1:1"))
    assert failure.value.action
    assert "launchctl setenv OLLAMA_HOST 127.0.0.1:1" in failure.value.action
    assert await asyncio.to_thread(platform.job, mac.target()) is None


async def test_the_address_of_the_session_counts_where_the_list_has_none(
    mac: Mac, monkeypatch: pytest.MonkeyPatch
) -> None:
    mac.write(EnvironmentVariables={})
    manager = mac.owner().manager
    assert await asyncio.to_thread(manager.url) == "http://127.0.0.1:11434"
    monkeypatch.setenv("FAKE_SESSION_OLLAMA_HOST", "0.0.0.0:7777")
    assert await asyncio.to_thread(manager.url) == "http://127.0.0.1:7777"


async def test_a_label_that_nobody_has_is_refused_in_words(mac: Mac) -> None:
    with pytest.raises(SpawnFailed, match=rf"is not loaded, and there is no {LABEL}\.plist") as failure:
        await mac.owner().check(mac.plan())
    assert failure.value.action
    assert "~/Library/LaunchAgents" in failure.value.action
    async with attended(mac.owner()) as heard:
        await until(lambda: heard.trouble is not None)


async def test_what_only_an_administrator_may_stop_is_refused_in_words(mac: Mac) -> None:
    await asyncio.to_thread(platform.bootstrap, "system", str(mac.write(RunAtLoad=True)))
    async with attended(mac.owner()) as heard:
        running = await soon(heard.runs)
        with pytest.raises(platform.Failed, match="only an administrator"):
            await asyncio.to_thread(platform.bootout, f"system/{LABEL}")
        assert await running.lives()


def test_where_there_is_no_launchctl_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not platform.is_here()
    with pytest.raises(platform.Failed, match="launchd is macOS's"):
        platform.job("gui/501/x")


# Not copied from a Mac of ours, since nobody here has one. The lines, their order and their words are those that people
# have quoted of macOS 12 to 26: of Homebrew's jobs, of crash loops, of jobs that were killed or that could not be run.
RUNNING = """\
gui/501/homebrew.mxcl.ollama = {
	active count = 1
	path = /Users/me/Library/LaunchAgents/homebrew.mxcl.ollama.plist
	type = LaunchAgent
	state = running

	program = /opt/homebrew/opt/ollama/bin/ollama
	arguments = {
		/opt/homebrew/opt/ollama/bin/ollama
		serve
	}

	working directory = /opt/homebrew/var

	stdout path = /opt/homebrew/var/log/ollama.log
	stderr path = /opt/homebrew/var/log/ollama.log
	inherited environment = {
		SSH_AUTH_SOCK => /private/tmp/com.apple.launchd.abc/Listeners
		state = nested
	}

	default environment = {
		PATH => /usr/bin:/bin:/usr/sbin:/sbin
	}

	environment = {
		OLLAMA_FLASH_ATTENTION => 1
		OLLAMA_KV_CACHE_TYPE => q8_0
		XPC_SERVICE_NAME => homebrew.mxcl.ollama
	}

	domain = gui/501 [100006]
	asid = 100006
	minimum runtime = 10
	exit timeout = 5
	runs = 3
	pid = 4321
	immediate reason = semaphore
	forks = 8
	execs = 1
	initialized = 1
	trampolined = 1
	started suspended = 0
	proxy started suspended = 0
	checked allocations = 0 (queried = 1)
	checked allocations reason = no host
	checked allocations flags = 0x0
	last terminating signal = Killed: 9

	resource coalition = {
		ID = 777
		type = resource
		state = active
		active count = 1
		name = homebrew.mxcl.ollama
	}

	spawn type = interactive (4)
	jetsam priority = 40
	jetsam memory limit (active) = (unlimited)
	jetsam memory limit (inactive) = (unlimited)
	jetsamproperties category = daemon
	jetsam thread limit = 32
	cpumon = default
	job state = running
	probabilistic guard malloc policy = {
		activation rate = 1/1000
		sample rate = 1/0
	}

	properties = keepalive | runatload | inferred program
}
"""


def printed(**lines: str) -> str:
    """`RUNNING`, in which the first line of each key has another value; an empty one takes the line away."""
    text = RUNNING
    for key, value in lines.items():
        name = key.replace("_", " ")
        line = f"\t{name} = {value}\n" if value else ""
        text = re.sub(rf"^\t{name} = .*\n", lambda _, line=line: line, text, count=1, flags=re.MULTILINE)  # type: ignore[misc]
    return text


@pytest.mark.parametrize(
    ("text", "state", "pid", "code", "signal", "reason"),
    [
        (RUNNING, "running", 4321, None, 9, None),
        # Its program is about to run, in a process that has its pid already.
        (printed(state="xpcproxy"), "xpcproxy", 4321, None, 9, None),
        # It waits out its throttle after a crash.
        (printed(state="spawn scheduled", pid=""), "spawn scheduled", None, None, 9, None),
        # Loaded, and nothing has asked for it yet.
        (printed(state="waiting", pid="", last_terminating_signal=""), "waiting", None, None, None, None),
        (
            printed(state="not running", pid="").replace("last terminating signal = Killed: 9", "last exit code = 0"),
            "not running",
            None,
            0,
            None,
            None,
        ),
        # Its program cannot be run: launchd tries again and again.
        (
            printed(state="spawn scheduled", pid="", job_state="spawn failed").replace(
                "last terminating signal = Killed: 9", "last exit code = 78: EX_CONFIG"
            ),
            "spawn scheduled",
            None,
            78,
            None,
            None,
        ),
        (
            printed(state="not running", pid="").replace(
                "last terminating signal = Killed: 9", "last exit reason = OS_REASON_CODESIGNING"
            ),
            "not running",
            None,
            None,
            None,
            "OS_REASON_CODESIGNING",
        ),
        ("system/x = {\n\tstate = not running\n\tlast exit code = (never exited)\n}\n", "not running", *[None] * 4),
        ("", "unknown", *[None] * 4),
    ],
)
def test_what_launchctl_prints_of_a_job_is_read(
    text: str, state: str, pid: int | None, code: int | None, signal: int | None, reason: str | None
) -> None:
    job = platform.parse(text)
    assert (job.state, job.pid) == (state, pid)
    assert (job.last_exit_code, job.last_signal, job.last_reason) == (code, signal, reason)


def test_what_launchctl_prints_is_read_at_its_own_level_only() -> None:
    argument = "\t\tserve\n\tpid = 99\n\tstate = nested\n"
    job = platform.parse(RUNNING.replace("\t\tserve\n", argument))
    assert (job.state, job.pid, job.runs) == ("running", 4321, 3)
    assert job.plist == "/Users/me/Library/LaunchAgents/homebrew.mxcl.ollama.plist"
    assert job.stdout == job.stderr == "/opt/homebrew/var/log/ollama.log"
    assert job.environment["OLLAMA_KV_CACHE_TYPE"] == "q8_0"
    assert "state" not in job.environment


SERVICES = (
    (0, "-", "com.apple.lskdd"),
    (4321, "0", "homebrew.mxcl.ollama"),
    (70718, "-", "application.com.electron.ollama.61282955.61282961"),
    (0, "78", "com.example.broken"),
    (503, "(pe)", "com.apple.Finder"),
)
DOMAIN = "\n".join(
    [
        *("gui/501 = {", "\ttype = login", "\tcreator = loginwindow[154]", "", "\tservices = {"),
        *(f"\t\t{pid:>8} {status:>6} \t{label}" for pid, status, label in SERVICES),
        *("\t}", "", "\tunmanaged processes = {", "\t\t     999      - \tcom.apple.xpc.launchd.unmanaged.zsh.999"),
        *("\t}", "}", ""),
    ]
)


@pytest.mark.parametrize(
    ("pids", "label"),
    [
        ([4321, 1], "homebrew.mxcl.ollama"),
        ([503], "com.apple.Finder"),
        ([999], None),
        ([0], None),
        ([432], None),
    ],
)
def test_a_job_is_found_by_its_process_in_the_list_of_a_domain(pids: list[int], label: str | None) -> None:
    assert platform.label_in(DOMAIN, pids) == label


@pytest.mark.parametrize(("word", "is_disabled"), [("disabled", True), ("true", True), ("enabled", False)])
async def test_a_label_that_is_disabled_is_known_by_either_word(mac: Mac, word: str, *, is_disabled: bool) -> None:
    """Some systems answer with nothing but an input/output error."""
    plist = mac.write()
    answers = f"""#!/bin/sh
case $1 in
    bootstrap) exit 5 ;;
    print-disabled) echo '\t\t"{LABEL}" => {word}' ;;
esac
"""
    (mac.launchctl / "launchctl").write_text(answers)
    with pytest.raises(platform.Failed, match="is disabled" if is_disabled else r"launchctl failed .*\(5\)"):
        await asyncio.to_thread(platform.bootstrap, "gui/501", str(plist))


@pytest.mark.parametrize(
    ("line", "words", "will_restart"),
    [
        ("last exit code = 78: EX_CONFIG", "launchd could not run its program", True),
        ("last exit reason = OS_REASON_CODESIGNING", "the system ended it (OS_REASON_CODESIGNING)", True),
        ("last exit code = 0", "is not running", False),
    ],
)
async def test_an_end_is_told_with_its_reason(mac: Mac, line: str, words: str, *, will_restart: bool) -> None:
    plist = mac.write(KeepAlive={"SuccessfulExit": False})
    text = printed(state="not running", pid="", path=str(plist)).replace("last terminating signal = Killed: 9", line)
    (mac.launchctl / "launchctl").write_text(f"#!/bin/sh\ncat <<'TEXT'\n{text}TEXT\n")
    seen = await asyncio.to_thread(mac.owner().manager.look)
    assert words in seen.words
    assert (seen.pid, seen.will_restart, seen.is_down) == (None, will_restart, not will_restart)


async def test_a_job_whose_property_list_was_deleted_is_controlled_until_it_is_unloaded(mac: Mac) -> None:
    plist = mac.write(RunAtLoad=True)
    await asyncio.to_thread(platform.bootstrap, platform.domains()[0], str(plist))
    plist.unlink()
    manager = mac.owner().manager
    await until(lambda: manager.look().pid is not None)
    assert await asyncio.to_thread(manager.url) == mac.url
    assert await asyncio.to_thread(manager.output) == [str(mac.output)] * 2
    await asyncio.to_thread(manager.stop)
    with pytest.raises(ServiceFailed, match="is not loaded, and there is no"):
        await asyncio.to_thread(manager.look)


@pytest.mark.parametrize("label", ["homebrew.mxcl.ollama", "sh.brew.ollama"])
def test_either_label_of_homebrew_s_is_told_how_its_address_is_set(label: str) -> None:
    assert "launchctl setenv OLLAMA_HOST" in launchd.Launchd(label).how_to_move("http://127.0.0.1:1")


def test_labels_are_names_and_nothing_else() -> None:
    assert parse(f"launchd:{LABEL}") == ("launchd", LABEL)
    for wrong in ("launchd:", "launchd:a b", "launchd:../x", "launchd:-x"):
        with pytest.raises(ValueError, match="names no owner"):
            parse(wrong)
