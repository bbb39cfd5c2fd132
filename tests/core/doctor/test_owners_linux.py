"""Owners that cannot be asked: the doctor says so within its time, and that something is broken."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.doctor.examine import CHECKS, examine
from core.doctor.finding import Severity
from core.doctor.report import Report
from tests.core.doctor.bed import Patient, by_command, only
from tests.core.owners.test_launchd_linux import LABEL, Mac
from tests.core.owners.test_launchd_linux import mac as mac
from tests.words import raw

pytestmark = pytest.mark.timeout(60)  # the doctor itself takes 5 s at most, and is a program of its own


@pytest.fixture
def hanging() -> Iterator[str]:
    """The address of a socket that takes calls and never answers."""
    with (
        tempfile.TemporaryDirectory(prefix="aura-hang-") as folder,
        socket.socket(getattr(socket, "AF_UNIX", socket.AF_INET)) as listening,
    ):
        listening.bind(f"{folder}/s")
        listening.listen()
        yield f"{folder}/s"


@pytest.mark.parametrize(
    ("owner", "variable", "form", "code"),
    [
        ("container:ollama", "DOCKER_HOST", "unix://{}", "container_unknown"),
        ("systemd:ollama.service", "DBUS_SYSTEM_BUS_ADDRESS", "unix:path={}", "service_unknown"),
        ("systemd-user:ollama.service", "DBUS_SESSION_BUS_ADDRESS", "unix:path={}", "service_unknown"),
    ],
)
def test_one_that_hangs_is_broken(
    tmp_path: Path, hanging: str, owner: str, variable: str, form: str, code: str
) -> None:
    patient = Patient(tmp_path)
    patient.set_own(owner=owner)
    done, told = by_command(tmp_path, "--json", env={variable: form.format(hanging)})
    assert told
    (found,) = [each for each in told.findings if each["code"] == code]
    assert (found["severity"], told.broken, done.returncode != 0) == ("broken", True, True)
    assert raw(found["message"]) is None


async def test_a_bus_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    patient = Patient(tmp_path)
    patient.set_own(owner="systemd:ollama.service")
    found = only(await patient.examined("the service"))
    assert (found.code, found.severity) == ("service_unknown", Severity.BROKEN)
    assert "no system bus here" in found.message
    patient.set_own(owner="process")
    assert (await patient.examined("the service")).findings == ()


async def test_a_job_of_launchd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mac: Mac) -> None:
    monkeypatch.setattr("core.settings.owner.SYSTEM", "macOS")
    # Each call of the stand-in is a Python of its own, and a busy machine starts several slowly.
    monkeypatch.setattr("core.doctor.service._SECONDS", 15.0)
    checks = tuple(check for check in CHECKS if check.name == "the service")

    async def examined() -> Report:
        return await examine(patient.paths, checks=checks, seconds=20.0)

    patient = Patient(tmp_path / "patient")
    patient.set(ollamaUrl=mac.url)
    patient.set_own(owner=f"launchd:{LABEL}")
    found = only(await examined())
    assert (found.code, found.severity) == ("service_unknown", Severity.BROKEN)
    assert LABEL in found.message
    mac.write()
    assert (await examined()).findings == ()
    patient.set(ollamaUrl="http://127.0.0.1:1")
    found = only(await examined())
    assert (found.code, found.severity) == ("service_elsewhere", Severity.BROKEN)
    assert mac.url in found.message


async def test_what_could_not_be_checked_is_not_praised(tmp_path: Path) -> None:
    patient = Patient(tmp_path)
    assert (await patient.examined("the settings")).praise == "Nothing is wrong."
    patient.set_own(owner="container:ollama")
    report = await patient.examined("Ollama's version")
    assert [finding.code for finding in report.findings] == ["not_checked"]
    assert report.is_well
    assert "Nothing is wrong with what could be checked." in await asyncio.to_thread(report.as_text)
