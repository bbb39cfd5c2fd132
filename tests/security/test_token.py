"""The token: who needs it, what a wrong one meets, and that a new one counts at once."""

from __future__ import annotations

import asyncio
import dis
import itertools
import json
import os
import re
import stat
import subprocess
import sys
import time
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from api.access.throttle import BURST
from api.hooks import HEADLESS
from api.openapi import operation
from api.routes.table import Routes
from api.schemas import GpuConfigBody, QuestionBody, SettingsChangesBody, ShownBody, TicketBody
from core import token
from core.owners.run_record import record_path
from core.settings.paths import Paths
from core.sidecar import Sidecar
from tests import fake_ollama, tied
from tests.api.serving import serving
from tests.api.test_server import Place, run_sidecar
from tests.beds.disk import fill, make_room, small_disk
from tests.beds.require import require
from tests.beds.sidecar import CHECKOUT
from tests.beds.wire import call, free_port
from tests.core.stranger import stranger
from tests.rig import Rig

JSON = {"Content-Type": "application/json"}
STATUS = "/api/ollama/status"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A stand-in behind a sidecar that requires its token."""
    return Rig(tmp_path, fake_ollama.install(tmp_path / "bin"), requireToken=True)


def rotate(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`--rotate-token` as a user types it."""
    command = [sys.executable, "-m", program, "--rotate-token", "--data-dir", str(folder)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=tied.seconds(9), check=False)


def test_a_token_is_compared_in_the_same_time_wherever_it_differs() -> None:
    """By its code: what `==` would save on a token is too short to be measured."""
    steps = list(dis.get_instructions(token.matches))
    assert "compare_digest" in {step.argval for step in steps}
    assert not {"COMPARE_OP", "IS_OP", "CONTAINS_OP"} & {step.opname for step in steps}


@pytest.mark.parametrize("program", ["api", "tray"])
def test_a_rotated_token_counts_from_the_next_call_on_and_the_old_one_is_refused(tmp_path: Path, program: str) -> None:
    place = Place(tmp_path)
    run = Paths(tmp_path).run
    with place.sidecar({"requireToken": True}) as sidecar:
        old = token.read_or_create(run)
        assert call("GET", sidecar.url + STATUS, headers={"X-Aura-Token": old}).status == 200
        done = rotate(program, tmp_path)
        new = token.read_or_create(run)
        assert (done.returncode, done.stderr) == (0, "")
        assert str(run / "token") in done.stdout
        assert new not in done.stdout
        assert call("GET", sidecar.url + STATUS, headers={"X-Aura-Token": old}).status == 403
        assert call("GET", sidecar.url + STATUS, headers={"X-Aura-Token": new}).status == 200
    if sys.platform != "win32":
        assert stat.S_IMODE((run / "token").stat().st_mode) == 0o600


@tied.posix("Windows closes the folder, and files have no modes")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o610])
def test_a_token_that_others_could_read_is_void_and_a_new_one_takes_its_place(tmp_path: Path, mode: int) -> None:
    """As after a restore that did not keep modes, or kept those of a careless copy."""
    run = Paths(tmp_path).run
    with Place(tmp_path).sidecar({"requireToken": True}) as sidecar:
        old = token.read_or_create(run)
        (run / "token").chmod(mode)
        assert call("GET", sidecar.url + STATUS, headers={"X-Aura-Token": old}).status == 403
        new = token.read_or_create(run)
        assert new != old
        assert stat.S_IMODE((run / "token").stat().st_mode) == 0o600
        assert call("GET", sidecar.url + STATUS, headers={"X-Aura-Token": new}).status == 200
    log = (tmp_path / "AuraData/logs/sidecar.log").read_text()
    assert log.count(f"{run / 'token'} is not used: Another user may have read it; a new one takes its place") == 1


@tied.linux("fills a disk of its own")
def test_a_token_that_others_could_read_is_void_on_a_full_disk_too(tmp_path: Path) -> None:
    with ExitStack() as disks:
        disk = require(lambda: disks.enter_context(small_disk(tmp_path, 1 << 20)))
        old = token.read_or_create(disk / "run")
        (disk / "run/token").chmod(0o644)
        fill(disk)
        with suppress(OSError):
            token.read_or_create(disk / "run")
        make_room(disk)
        assert token.read_or_create(disk / "run") != old


@tied.posix("Windows closes the folder, and files have no modes")
async def test_a_run_record_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    """It is believed all the same, since nobody else could have written it."""
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    async with rig.supervising(stop_ollama=False) as supervisor:
        pid = (await supervisor.start()).pid
    record = record_path(rig.paths.run)
    record.chmod(0o644)
    async with rig.supervising() as supervisor:
        assert (await supervisor.status()).pid == pid
        assert stat.S_IMODE(record.stat().st_mode) == 0o600


def test_a_token_can_be_rotated_before_anything_runs_and_a_folder_that_forbids_it_is_an_error(tmp_path: Path) -> None:
    assert rotate("api", tmp_path / "new").returncode == 0
    (tmp_path / "AuraData").write_text("a file where the folder should be")
    refused = rotate("api", tmp_path)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr


def test_readers_never_see_a_token_half_written(tmp_path: Path) -> None:
    """A torn one would be replaced by a third, so that neither of two was in force."""
    code = (
        "import sys; from pathlib import Path; from core import token\n"
        "for _ in range(300): token.rotate(Path(sys.argv[1]))"
    )
    token.rotate(tmp_path / "run")
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run")], cwd=CHECKOUT) as writer:
        while writer.poll() is None:
            # Windows lets nobody read at the very moment of the replacement.
            with suppress(PermissionError) if sys.platform == "win32" else nullcontext():
                assert len((tmp_path / "run/token").read_text().strip()) == 43
    assert writer.returncode == 0


async def test_wrong_tokens_are_told_to_wait_while_the_right_one_is_served(rig: Rig) -> None:
    async with serving(rig) as served:
        right = await asyncio.to_thread(token.read_or_create, rig.paths.run)
        statuses: list[int] = []
        for number in range(BURST * 3):
            wrong = {"X-Aura-Token": f"{number:043}"}
            async with served.http.get(STATUS, headers=wrong) as response:
                statuses.append(response.status)
                if response.status == 429:
                    assert 1 <= int(response.headers["Retry-After"]) <= 2
                    assert (await response.json())["code"] == "too_many_failures"
            async with served.http.get(STATUS, headers={"X-Aura-Token": right}) as response:
                assert response.status == 200
        # Some come back while it runs; most do not.
        assert set(statuses[:BURST]) == {403}
        assert statuses.count(429) >= BURST
        async with served.http.get(STATUS) as response:
            assert response.status == 403


async def test_after_a_while_a_wrong_token_is_only_wrong_again(rig: Rig) -> None:
    async with serving(rig) as served, asyncio.timeout(tied.seconds(8)):
        wrong = {"Authorization": "Bearer wrong"}

        async def answer() -> int:
            async with served.http.get(STATUS, headers=wrong) as response:
                return response.status

        while await answer() != 429:
            pass
        while await answer() != 403:
            await asyncio.sleep(0.1)


async def test_a_page_without_an_origin_cannot_try_tokens_unthrottled(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    async with serving(rig) as served:
        statuses = []
        for number in range(BURST + 5):
            headers = {"Origin": "null", "X-Aura-Token": f"{number:043}"}
            async with served.http.get(STATUS, headers=headers) as response:
                statuses.append(response.status)
        assert statuses[-1] == 429
        # Where no token is asked for, a wrong one does no harm.
        async with served.http.get(STATUS, headers={"X-Aura-Token": "old"}) as response:
            assert response.status == 200


def test_nothing_is_ever_401() -> None:
    """The Aura app logs its user out on 401."""
    sources = [path.read_text() for path in (CHECKOUT / "api").glob("*.py")]
    assert not [text for text in sources if "status=401" in text or "(401" in text or "HTTPUnauthorized" in text]


async def test_a_route_marked_for_it_needs_the_token_whatever_the_settings_say(tmp_path: Path) -> None:
    """No route of today can choose a program; this one stands for one to come."""
    from api import app as application
    from api.openapi import answers
    from api.server import listening

    class Danger:
        @answers(ShownBody, needs_token=True)
        async def run(self, request: web.Request) -> web.Response:
            """Run what the caller names."""
            return web.json_response({"shown": True})

    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    async with serving(rig) as served:
        app = application.build(served.core)
        app.router.add_post("/danger", Danger().run)
        secret = await asyncio.to_thread(token.read_or_create, rig.paths.run)
        async with listening(app, "127.0.0.1", 0) as url:
            async with served.http.post(f"{url}/danger", headers=JSON) as response:
                assert (response.status, (await response.json())["code"]) == (403, "token_required")
            async with served.http.post(f"{url}/danger", headers={**JSON, "X-Aura-Token": secret}) as response:
                assert response.status == 200


HARMLESS_PARAMETERS = {"maxLines", "from", "types", "since", "force", "maxRetries", "retryDelayMs"}
HARMLESS_IN_PATHS = {"model", "job", "file", "instance"}
HARMLESS_BODIES = {GpuConfigBody, SettingsChangesBody, QuestionBody, TicketBody}
"""Whoever adds one here has made sure that it cannot choose a program or its environment.

A model's name is read by Ollama's grammar and goes into a JSON body. A file of the page and an instance are looked up
in memory. Of the first body only two switches and two bounded numbers become variables, of fixed names; in the second,
each setting that could choose anything asks for the token by itself, which tests/api/test_settings.py holds. A
question goes into a JSON body too, and a ticket is looked up.
"""


def test_no_route_takes_anything_that_could_choose_a_program_unless_it_is_marked() -> None:
    routes = Routes(Sidecar(Paths(Path("nowhere"))), HEADLESS).table()
    for route in routes:
        known = operation(route.handler)
        assert known is not None, f"{route.path} says nothing of itself"
        assert known.needs_token or known.query.keys() <= HARMLESS_PARAMETERS, route.path
        assert known.needs_token or set(re.findall(r"{(\w+)}", route.path)) <= HARMLESS_IN_PATHS, route.path
        assert known.needs_token or known.body in {None, *HARMLESS_BODIES}, route.path


EVIL = {
    "executable": "/evil",
    "ollamaExecutablePath": "/evil",
    "path": "/evil",
    "env": {"EVIL": "1"},
    "argv": ["/evil"],
}


async def test_no_body_and_no_query_of_any_route_chooses_the_program_or_its_environment(tmp_path: Path) -> None:
    told = tmp_path / "env.json"
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_ENV_FILE=str(told)))
    aura, own = json.loads(rig.paths.settings.read_bytes()), rig.paths.sidecar.read_bytes()
    names = itertools.chain.from_iterable((name, f"env.{name}") for name in EVIL)
    query = "&".join([*(f"{name}=/evil" for name in names), "maxRetries=1"])
    async with serving(rig) as served:
        paths = [(route.method, route.path) for route in Routes(served.core, HEADLESS).table()]
        # Those that start something come last, so that all of them could have had an effect on it.
        for method, path in sorted(paths, key=lambda each: each[1].endswith("start")):
            async with served.http.request(method, f"{path}?{query}", data=msgspec.json.encode(EVIL), headers=JSON):
                pass
        status = await served.supervisor.status()
        assert status.is_running
        assert status.install_path == rig.executable
        assert "EVIL" not in msgspec.json.decode(told.read_bytes())
    assert rig.paths.sidecar.read_bytes() == own
    # What a detection of the graphics processor sets.
    after = json.loads(rig.paths.settings.read_bytes())
    assert {name: after[name] for name in aura} == aura
    assert after.keys() - aura.keys() <= {"ollamaGpuEnabled", "ollamaNumGpu", "ollamaNumCtx", "ollamaGpuAutoDetect"}


def test_a_second_start_brings_the_token_so_that_the_first_one_shows_itself(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.sidecar({"requireToken": True}) as sidecar:
        command = [sys.executable, "-m", "tray", "--headless", "--port", "0", "--data-dir", str(tmp_path)]
        second = subprocess.run(
            command, cwd=CHECKOUT, capture_output=True, text=True, timeout=tied.seconds(9), check=False
        )
        assert second.returncode == 0, second.stderr
        assert f"already running at {sidecar.url}" in second.stderr


def _second_start(root: Path, url: str) -> subprocess.CompletedProcess[str]:
    """Start one while an instance is there that is said to answer at `url`."""
    from api.server import _lock, _unlock

    paths = Paths(root)
    token.rotate(paths.run)
    note = paths.run / "sidecar.json"
    lock = _lock(paths, note)
    try:
        note.write_text(f'{{"url": "{url}", "pid": {os.getpid()}}}')
        note.chmod(0o600)
        command = [sys.executable, "-m", "tray", "--headless", "--port", "0", "--data-dir", str(root)]
        limit = tied.seconds(9)
        return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=limit, check=False)
    finally:
        _unlock(lock, note)


@pytest.mark.parametrize("status", ["HTTP/1.1 302 Found", "HTTP/1.1 307 Temporary Redirect", "nonsense"])
async def test_the_token_goes_no_further_than_to_whom_it_was_brought(tmp_path: Path, status: str) -> None:
    """A redirect, which would take it along, is not followed; nor does an answer that is no HTTP end in a traceback."""
    async with stranger({}) as elsewhere:
        go = f"{status}\r\nLocation: {elsewhere.url}/\r\nContent-Length: 0\r\n\r\n".encode()
        async with stranger({}, otherwise=go) as other:
            second = await asyncio.to_thread(_second_start, tmp_path, other.url)
            assert "x-aura-token" in other.heads[0].lower()
        assert elsewhere.heads == []
    assert second.returncode == 1
    assert "Traceback" not in second.stderr


@pytest.mark.parametrize("body", ["", "[]", '{"shown": "maybe"}', '{"why": ' + 5000 * "["])
async def test_an_answer_that_does_not_say_whether_it_shows_itself_is_none(tmp_path: Path, body: str) -> None:
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    async with stranger({}, otherwise=answer) as other:
        second = await asyncio.to_thread(_second_start, tmp_path, other.url)
    assert second.returncode == 1
    assert "Traceback" not in second.stderr


def test_a_killed_sidecars_note_does_not_send_the_token_to_whoever_has_its_port_now(tmp_path: Path) -> None:
    """Between its lock and its greeting a new sidecar could be met with the old one's note."""
    from api.server import _lock, _read_note, _unlock

    paths = Paths(tmp_path)
    token.rotate(paths.run)
    note = paths.run / "sidecar.json"
    note.write_text(f'{{"url": "http://127.0.0.1:{free_port()}", "pid": 1}}')
    note.chmod(0o600)
    assert _read_note(note)[1] == 1
    lock = _lock(paths, note)
    try:
        assert _read_note(note) == (None, None)
    finally:
        _unlock(lock, note)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_listening_beyond_loopback_is_refused_without_a_token(tmp_path: Path, host: str) -> None:
    found = run_sidecar("--host", host, "--port", "0", "--data-dir", str(tmp_path))
    assert found.returncode == 1
    assert host in found.stderr
    assert "requireToken" in found.stderr
    (tmp_path / "AuraData").mkdir(exist_ok=True)
    (tmp_path / "AuraData" / "ollama-sidecar.json").write_text(f'{{"host": "{host}", "port": 0}}')
    assert run_sidecar("--data-dir", str(tmp_path)).returncode == 1


@pytest.mark.parametrize("host", ["localhost", "", "127.1", "fe80::1%lo", "example.org", "127.0.0.1:80"])
def test_a_host_that_is_no_address_is_refused_with_what_would_do(tmp_path: Path, host: str) -> None:
    found = run_sidecar(f"--host={host}", "--port", "0", "--data-dir", str(tmp_path))
    assert found.returncode == 2
    assert "127.0.0.1" in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_this_machine_has_not_is_told(tmp_path: Path) -> None:
    (tmp_path / "AuraData").mkdir()
    (tmp_path / "AuraData" / "ollama-sidecar.json").write_text('{"requireToken": true}')
    found = run_sidecar("--host", "192.0.2.1", "--port", "0", "--data-dir", str(tmp_path))
    assert found.returncode == 1
    assert "no such address" in found.stderr


def test_beyond_loopback_every_call_needs_the_token_whatever_the_settings_become(tmp_path: Path) -> None:
    """Bound to everything, asked from this machine through an address that others could reach, if it has one."""
    import psutil

    place = Place(tmp_path)
    outer = next(
        (
            row.address
            for rows in psutil.net_if_addrs().values()
            for row in rows
            if row.family.name == "AF_INET" and not row.address.startswith("127.")
        ),
        None,
    )
    with place.sidecar({"requireToken": True, "host": "0.0.0.0"}) as sidecar:
        assert sidecar.url.startswith("http://127.0.0.1:")
        port = sidecar.url.rpartition(":")[2]
        secret = {"X-Aura-Token": token.read_or_create(Paths(tmp_path).run)}
        assert call("GET", sidecar.url + STATUS).status == 403
        assert call("GET", sidecar.url + STATUS, headers=secret).status == 200
        place.settings.write_text('{"requireToken": false, "host": "0.0.0.0", "stopOnTerminate": true}')
        deadline = time.monotonic() + 5
        while call("GET", sidecar.url + STATUS).status != 200:
            assert time.monotonic() < deadline
        if outer is None:
            assert os.environ.get("CI") != "true", "CI has a network interface beyond loopback"
            pytest.skip("this machine has no address beyond loopback")
        for path in (STATUS, "/healthz", "/nowhere"):
            assert call("GET", f"http://{outer}:{port}{path}").status == 403
        assert call("GET", f"http://{outer}:{port}{STATUS}", headers=secret).status == 200
        evil = {**secret, "Host": f"evil.com:{port}"}
        assert call("GET", f"http://{outer}:{port}{STATUS}", headers=evil).status == 403
