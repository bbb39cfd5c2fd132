"""Each fault that every system knows, made for real, and what is said of it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core import files, token
from core.doctor.examine import CHECKS, Check, examine
from core.doctor.finding import Finding, Severity
from core.logs.segments import Caps, SegmentedFile
from core.settings.paths import Paths
from tests import fake_ollama, tied
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import OllamaServer, copy_models
from tests.beds.sidecar import CHECKOUT, Sidecar
from tests.beds.wire import call, free_port
from tests.core.doctor.bed import Patient, by_command, codes, examined, only


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OllamaServer]:
    """An Ollama that somebody else has started, with the model `tiny`."""
    home = tmp_path_factory.mktemp("other")
    require(ollama)
    copy_models(home / "models")
    with OllamaServer(home) as server:
        yield server


async def test_no_ollama(patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way out is to install one, or to say where it is."""
    monkeypatch.setenv("PATH", str(tmp_path))
    patient.set(ollamaExecutablePath="")
    found = only(await patient.examined("Ollama's program"))
    assert (found.code, found.severity) == ("path_not_configured", Severity.BROKEN)
    assert "https://ollama.com/download" in (found.action or "")


async def test_a_path_that_leads_to_none(patient: Patient, tmp_path: Path) -> None:
    patient.set(ollamaExecutablePath=str(tmp_path / "gone" / patient.executable.name))
    found = only(await patient.examined("Ollama's program", "Ollama's version"))
    assert (found.code, found.severity) == ("path_invalid", Severity.BROKEN)
    assert "does not exist" in found.message


async def test_a_program_that_the_system_cannot_run(patient: Patient, tmp_path: Path) -> None:
    """It is a file of the right name that is executable, and holds a program for another machine, or none at all."""
    program = tmp_path / "broken" / patient.executable.name
    program.parent.mkdir()
    program.write_bytes(b"\x7fELF\2\1\1" + bytes(9) + b"\2\0\xf3\0" if sys.platform != "win32" else b"no program")
    program.chmod(0o755)
    patient.set(ollamaExecutablePath=str(program))
    found = only(await patient.examined("Ollama's program"))
    assert found.code == "path_invalid"
    assert "cannot be run" in found.message


async def test_a_port_that_another_program_holds(patient: Patient, web_server: int) -> None:
    """Both ports: Ollama's and the sidecar's. The holder is named where the system tells."""
    patient.port = web_server
    patient.set()
    patient.set_own(port=web_server)
    ollamas, sidecars = (await patient.examined("Ollama's port", "the sidecar's port")).findings[::-1]
    assert (ollamas.code, sidecars.code) == ("port_in_use", "sidecar_port_in_use")
    for found in (ollamas, sidecars):
        assert found.severity is Severity.BROKEN
        assert str(web_server) in found.message
        assert (f"(pid {os.getpid()}" in found.message) is not tied.ON_WINE


async def test_another_ollama_on_the_port(patient: Patient, other: OllamaServer) -> None:
    """It serves Aura, so that nothing is broken; while it hangs, something is."""
    patient.port = other.port
    patient.set()
    found = only(await patient.examined("Ollama's port", "Ollama's version"))
    assert (found.code, found.severity) == ("already_running", Severity.WARNING)
    assert tied.ON_WINE or f"pid {other.pid}" in (found.action or "")
    psutil.Process(other.pid).suspend()
    try:
        found = only(await patient.examined("Ollama's port"))
    finally:
        psutil.Process(other.pid).resume()
    assert found.severity is Severity.BROKEN
    if not tied.ON_WINE:
        assert found.code == "already_running"
        assert "does not answer at present" in (found.action or "")


async def test_an_address_elsewhere_where_nobody_answers(patient: Patient) -> None:
    """What was probably meant is the way out."""
    patient.set(ollamaUrl=f"http://127.0.0.1:{patient.port}/v1")
    found = only(await patient.examined("Ollama's port"))
    assert (found.code, found.severity) == ("remote", Severity.BROKEN)
    assert f'"http://127.0.0.1:{patient.port}"' in (found.action or "")


async def test_torn_settings(patient: Patient) -> None:
    """Both files are told of. What depends on Aura's is told to be unknown, in one note."""
    for path in (patient.paths.settings, patient.paths.sidecar):
        path.write_bytes(path.read_bytes()[:20])
    report = await patient.examined()
    torn = [finding for finding in report.findings if finding.code == "config_invalid"]
    assert [patient.paths.settings.name in torn[0].message, patient.paths.sidecar.name in torn[1].message] == [True] * 2
    assert all(finding.severity is Severity.BROKEN and "not valid JSON" in finding.message for finding in torn)
    (note,) = [one for one in report.findings if one.code == "not_checked" and "settings cannot be read" in one.message]
    assert "Ollama's program, Ollama's version, Ollama's port" in note.message


async def test_a_value_that_is_no_address(patient: Patient) -> None:
    patient.set(ollamaUrl="http://user:verysecret@[")
    found = only(await patient.examined("the settings", "Ollama's port"))
    assert found.code == "config_invalid"
    assert "ollamaUrl" in found.message
    assert "verysecret" not in found.message


async def test_a_host_that_others_reach_without_a_token(patient: Patient) -> None:
    patient.set_own(host="0.0.0.0")
    found = only(await patient.examined("the settings"))
    assert (found.code, found.severity) == ("host_needs_token", Severity.BROKEN)
    for words in ("`host`", "0.0.0.0", "`requireToken`"):
        assert words in found.message
    assert str(patient.paths.sidecar) in (found.action or "")
    patient.set_own(host="0.0.0.0", requireToken=True)
    assert codes(await patient.examined("the settings")) == []


async def test_an_owner_of_another_system(patient: Patient) -> None:
    patient.set_own(owner="launchd:com.ollama.ollama" if sys.platform != "darwin" else "systemd:ollama.service")
    found = only(await patient.examined("the settings"))
    assert found.code == "config_invalid"
    assert "`owner` is" in found.message


async def test_a_file_from_the_future(patient: Patient) -> None:
    """The clock is behind, or was ahead: nobody can tell which."""
    ahead = time.time() + 10 * 86_400
    os.utime(patient.paths.settings, (ahead, ahead))
    found = only(await patient.examined("the clock"))
    assert (found.code, found.severity) == ("clock_wrong", Severity.WARNING)
    assert patient.paths.settings.name in found.message


async def test_a_token_that_cannot_be_read(patient: Patient) -> None:
    """A folder in its place. None at all is no fault: the first sidecar makes it."""
    assert (await patient.examined("the token")).findings == ()
    (patient.paths.run / "token").mkdir(parents=True)
    patient.paths.run.chmod(0o700)
    found = only(await patient.examined("the token"))
    assert found.code in ("token_unreadable", "token_unsafe")
    assert found.action


async def test_the_real_one_tells_its_version_without_running(tmp_path: Path) -> None:
    report = await Patient(tmp_path, require(ollama).executable).examined("Ollama's version", "Ollama's program")
    assert report.findings == ()


@tied.posix("the fake there is an interpreter of Python, which answers --version itself")
@pytest.mark.parametrize(("version", "code"), [("0.1.30", "ollama_too_old"), ("0.5.12", "ollama_old"), ("0.5.13", "")])
async def test_an_old_ollama(tmp_path: Path, version: str, code: str) -> None:
    """Asked of the program itself while none answers."""
    patient = Patient(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_VERSION=version))
    report = await patient.examined("Ollama's version")
    assert codes(report) == [code] * bool(code), report


async def test_an_old_ollama_that_answers(tmp_path: Path) -> None:
    """Of two versions the one that runs counts."""
    old = fake_ollama.install(tmp_path / "old", FAKE_VERSION="0.1.30")
    with OllamaServer(tmp_path, executable=old) as server:
        patient = Patient(tmp_path)
        patient.port = server.port
        patient.set()
        found = only(await patient.examined("Ollama's version"))
    assert (found.code, found.severity) == ("ollama_too_old", Severity.BROKEN)
    assert "0.1.30" in found.message


async def test_a_model_of_the_settings_that_is_not_installed(patient: Patient, other: OllamaServer) -> None:
    """While an Ollama answers it is asked, else its folder is looked at."""
    copy_models(patient.root / "models")
    free = patient.port
    for port in (free, other.port):
        patient.port = port
        patient.set(ollamaModel="nosuch:3b")
        patient.set_own(canary={"model": "tiny"})
        found = only(await patient.examined("the models of the settings"))
        assert (found.code, found.severity) == ("model_not_installed", Severity.BROKEN)
        assert found.action == f"Pull it with: aura-ollama pull nosuch:3b{patient.paths.option}"
        patient.set(ollamaModel="tiny:latest")
        assert (await patient.examined("the models of the settings")).findings == ()
        patient.set(ollamaModel="a b")
        assert only(await patient.examined("the models of the settings")).code == "bad_model_name"


async def test_a_file_in_place_of_the_models_folder(patient: Patient) -> None:
    """Ollama would end at its start."""
    (patient.root / "models").write_text("")
    found = only(await patient.examined("the folder of the models"))
    assert (found.code, found.severity) == ("models_folder", Severity.BROKEN)
    assert "is not a folder" in found.message


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
async def test_a_proxy_for_this_machine(patient: Patient, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """`no_proxy` settles it. The value, which may hold a password, is not shown."""
    monkeypatch.setenv(name, "http://me:hunter2hunter2@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "example.com,localhost")
    found = only(await patient.examined("proxy variables"))
    assert (found.code, found.severity) == ("proxy_catches_loopback", Severity.WARNING)
    assert name in found.message
    assert "does not name 127.0.0.1:" in found.message
    assert "proxy.example" not in str(found)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    assert (await patient.examined("proxy variables")).findings == ()


@pytest.fixture
def log(patient: Patient) -> None:
    """200,000 bytes of log, as a shim writes it."""
    written = SegmentedFile(str(patient.paths.logs), Caps(), time.time())
    written.append((b"y" * 99 + b"\n") * 2000)
    written.close()


@pytest.mark.usefixtures("log")
async def test_a_log_over_its_cap(patient: Patient) -> None:
    """The cap was lowered after it was written."""
    assert (await patient.examined("the log's size")).findings == ()
    patient.set_own(logSegmentBytes=65_536, logTotalBytes=65_536)
    found = only(await patient.examined("the log's size"))
    assert (found.code, found.severity) == ("log_over_cap", Severity.WARNING)
    assert "195.31 KB" in found.message


@pytest.mark.timeout(60)  # A sidecar starts, and is waited for in vain.
async def test_a_sidecar_that_runs_hangs_and_dies(tmp_path: Path, other: OllamaServer) -> None:
    """While it runs it is asked; its answers need its token."""
    models = copy_models(tmp_path / "models")
    executable = require(ollama).executable
    settings = {"requireToken": True}
    with Sidecar(tmp_path, executable=executable, models=models, ollama_port=free_port(), settings=settings) as sidecar:
        secret = await asyncio.to_thread(token.look, tmp_path / "AuraData" / "run")
        headers = {"X-Aura-Token": secret or ""}
        assert call("POST", f"{sidecar.url}/api/ollama/start", headers=headers, timeout=40).status == 200
        paths = Paths(tmp_path)
        names = ("the sidecar", "the state of Ollama", "the sidecar's port", "Ollama's port", "Ollama's version")
        report = await examined(paths, *names, "the token", "the folder of the models")
        assert [one for one in report.findings if one.severity is Severity.BROKEN] == []
        assert "already_running" not in codes(report)
        process = psutil.Process(sidecar.process.pid)
        process.suspend()
        try:
            found = only(await examined(paths, "the sidecar"))
        finally:
            process.resume()
        assert (found.code, found.severity) == ("sidecar_not_answering", Severity.BROKEN)
        assert f"pid {sidecar.process.pid}" in found.message
        stopped = call("POST", f"{sidecar.url}/api/ollama/stop", headers=headers, timeout=40)
        assert stopped.status == 200
        process.kill()
        process.wait(10)
        found = only(await examined(paths, "the sidecar"))
    assert (found.code, found.severity) == ("sidecar_died", Severity.BROKEN)


async def test_nothing_is_sent_to_a_stranger_at_a_dead_sidecars_port(patient: Patient) -> None:
    """The note of a killed sidecar names a port that anybody may have taken since."""
    calls: list[bytes] = []
    await asyncio.to_thread(token.rotate, patient.paths.run)
    async with await asyncio.start_server(lambda reader, _: _note_call(reader, calls), "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        note = {"url": url, "pid": os.getpid(), "birth": "another one"}
        await asyncio.to_thread(files.write, str(patient.paths.run / "sidecar.json"), json.dumps(note))
        report = await patient.examined("the sidecar", "the state of Ollama", "Ollama's port")
    assert codes(report) == ["sidecar_died"]
    assert calls == []


async def _note_call(reader: asyncio.StreamReader, calls: list[bytes]) -> None:
    calls.append(await reader.read(1))


async def test_no_sidecar(patient: Patient) -> None:
    """It may be meant, so that nothing is broken."""
    found = only(await patient.examined("the sidecar", "the state of Ollama"))
    assert (found.code, found.severity) == ("sidecar_not_running", Severity.WARNING)
    # Without the folder a sidecar would serve another one.
    assert f'aura-ollama run --headless --data-dir "{patient.root}"' in (found.action or "")


@pytest.mark.timeout(60)  # A sidecar starts.
async def test_a_sidecar_of_another_version(tmp_path: Path, patient: Patient) -> None:
    """An older copy of the program that still runs after an upgrade; with an Ollama that it could not start."""
    program = tmp_path / "program"
    for package in ("core", "api"):
        shutil.copytree(CHECKOUT / package, program / package, ignore=shutil.ignore_patterns("__pycache__"))
    (program / "core" / "__init__.py").write_text('"""A release from long ago."""\n\n__version__ = "0.0.9"\n')
    failing = fake_ollama.install(tmp_path / "failing", FAKE_EXIT="3", FAKE_STDERR="no such luck")
    root = tmp_path / "root"
    with Sidecar(root, executable=failing, models=root / "models", ollama_port=patient.port, cwd=program) as sidecar:
        assert call("POST", f"{sidecar.url}/api/ollama/start", timeout=40).status >= 400
        failed, version = (await examined(Paths(root), "the sidecar", "the state of Ollama")).findings
    assert (failed.code, failed.severity) == ("ollama_failed", Severity.BROKEN)
    assert "no such luck" in failed.message
    assert (version.code, version.severity) == ("sidecar_version", Severity.WARNING)
    assert "0.0.9" in version.message


async def test_a_check_that_hangs_or_fails_hides_no_other(patient: Patient) -> None:
    """What could not be checked is told, as a note."""

    async def hang(_: object) -> list[Finding]:
        await asyncio.Event().wait()
        return []

    async def fail(_: object) -> list[Finding]:
        raise ZeroDivisionError

    patient.set(ollamaExecutablePath="relative")
    program = next(check for check in CHECKS if check.name == "Ollama's program")
    checks = (Check("what hangs", hang), Check("what fails", fail), program)
    report = await examine(patient.paths, checks=checks, seconds=2.0)
    assert codes(report) == ["path_invalid", "not_checked", "not_checked"]
    assert "what hangs, since there was no answer in time" in report.findings[1].message
    assert "what fails, since it failed with ZeroDivisionError" in report.findings[2].message
    assert report.checked == ("Ollama's program",)


@pytest.mark.timeout(90)  # Programs start, slowly in Wine.
def test_nothing_is_changed(patient: Patient) -> None:
    """Neither a file nor a right: not even of a token that others could read, which every other reader replaces."""
    patient.paths.run.mkdir(mode=0o700)
    secret = patient.paths.run / "token"
    secret.write_text("x" * 43 + "\n")
    secret.chmod(0o644)
    (patient.paths.run / "sidecar.json").write_text(json.dumps({"url": "http://127.0.0.1:9", "pid": 2**22 + 1}))

    def tree() -> dict[str, tuple[int, int, bytes]]:
        found = {}
        for path in sorted(patient.paths.data.rglob("*")):
            status = path.stat()
            found[str(path)] = (status.st_mode, status.st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        return found

    before = tree()
    done, told = by_command(patient.root, "--json")
    assert told is not None, done.stderr
    assert "sidecar_died" in [finding["code"] for finding in told.findings]
    assert done.returncode == 1
    assert tree() == before
