"""Faults that only Linux can be made to have: disks of other kinds, a desktop, drivers, a clock, other users."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from core.doctor.finding import Severity
from core.platform import gpu
from tests.beds.bound_disk import bound_disk
from tests.beds.clock import Clock
from tests.beds.desktop import session_bus
from tests.beds.disk import fill, small_disk
from tests.beds.network_disk import network_disk
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import OllamaServer
from tests.beds.sidecar import CHECKOUT
from tests.beds.stranger import stranger
from tests.core.doctor.bed import Patient, by_command, codes, only
from tests.core.ollama.test_listener import control_group
from tests.core.platform.gpu.test_nvidia_linux import stub_library
from tests.security.another_user import NOBODY, give_to_nobody, require_root

YEAR = 365 * 86_400


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path)


async def test_a_data_folder_of_another_user(patient: Patient) -> None:
    require_root()
    give_to_nobody(patient.paths.data)
    found = only(await patient.examined("the data folder"))
    assert (found.code, found.severity) == ("data_folder", Severity.BROKEN)
    assert "it belongs to the user nobody" in found.message


async def test_a_data_folder_that_cannot_be_made(tmp_path: Path, patient: Patient) -> None:
    """A file is where a folder would have to be; and a link leads nowhere."""
    data = patient.paths.data
    data.rename(tmp_path / "elsewhere")
    assert (await patient.examined("the data folder")).findings == ()
    data.symlink_to(tmp_path / "gone")
    found = only(await patient.examined("the data folder"))
    assert "is a link to" in found.message
    data.unlink()
    data.write_text("")
    assert "is not a folder" in only(await patient.examined("the data folder")).message


async def test_a_disk_without_modes(stack: ExitStack, tmp_path: Path) -> None:
    """As FAT has none: whatever is said of rights has no effect."""
    disk = require(lambda: stack.enter_context(bound_disk(tmp_path / "disk", "--chmod-ignore", "--perms=0777")))
    patient = Patient(disk.at)
    patient.paths.run.mkdir()
    found = only(await patient.examined("the data folder", "the data folder's disk"))
    assert (found.code, found.severity) == ("data_folder", Severity.BROKEN)
    assert "every user may change it" in found.message or "Other users may enter it" in found.message


async def test_a_folder_of_ours_that_is_open_to_others(patient: Patient) -> None:
    """What the sidecar closed is open: on a disk without modes, or by somebody's hand."""
    patient.paths.run.mkdir()
    patient.paths.run.chmod(0o755)
    found = only(await patient.examined("the data folder"))
    assert found.code == "data_folder"
    assert "Other users may enter it (mode 0755)" in found.message


async def test_a_full_disk(stack: ExitStack, tmp_path: Path) -> None:
    """The data folder's and the models' is the same here; the log's lines have no room either."""
    disk = tmp_path / "disk"
    disk.mkdir()
    require(lambda: stack.enter_context(small_disk(disk, 4 << 20)))
    patient = Patient(disk)
    nearly = await patient.examined("the data folder's disk", "the folder of the models")
    assert codes(nearly) == ["models_disk_full", "disk_nearly_full"]
    fill(disk)
    full = await patient.examined("the data folder's disk", "the folder of the models")
    assert codes(full) == ["disk_full", "models_disk_full"]
    assert all(finding.severity is Severity.BROKEN and "free" in finding.message for finding in full.findings)


async def test_a_disk_that_is_mounted_read_only(stack: ExitStack, tmp_path: Path) -> None:
    """Models that are there can be used, so that their folder is worth a warning; the data folder is of no use."""
    disk = tmp_path / "disk"
    disk.mkdir()
    require(lambda: stack.enter_context(small_disk(disk, 4 << 20)))
    patient = Patient(disk)
    for name in ("blobs", "manifests"):
        (disk / "models" / name).mkdir(parents=True)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)  # noqa: ASYNC221 - of the test's own
    data, models = (await patient.examined("the data folder", "the folder of the models")).findings
    assert (data.code, data.severity) == ("data_folder", Severity.BROKEN)
    assert (models.code, models.severity) == ("models_folder", Severity.WARNING)
    assert all("its disk is mounted read-only" in finding.message for finding in (data, models))


@pytest.mark.timeout(30)  # A program starts.
def test_a_models_folder_that_may_not_be_read(tmp_path: Path) -> None:
    """Root may read all, so that somebody else has to ask."""
    require_root()
    folder = tmp_path / "models"
    folder.mkdir(mode=0o700)
    code = (
        "import os, sys, pathlib\n"
        "from core.doctor.models import _why_unusable\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "print(_why_unusable(pathlib.Path(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=CHECKOUT, capture_output=True, text=True, timeout=20, check=True
    )
    assert "may not be read by this user" in done.stdout
    assert "broken" in done.stdout


async def test_a_network_drive(stack: ExitStack, tmp_path: Path) -> None:
    disk = require(lambda: stack.enter_context(network_disk(tmp_path / "net")))
    found = only(await Patient(disk).examined("the data folder's disk"))
    assert (found.code, found.severity) == ("data_on_network", Severity.WARNING)
    assert "sshfs" in found.message


@pytest.mark.timeout(30)  # What hangs is waited for.
async def test_everything_hangs(stack: ExitStack, tmp_path: Path) -> None:
    """The data folder's disk does not answer: that is said, and what does not need it is checked all the same."""
    disk = require(lambda: stack.enter_context(bound_disk(tmp_path / "disk")))
    patient = Patient(disk.at, tmp_path / "bin" / "ollama")
    with disk.hanging():
        report = await patient.examined()
    data = next(finding for finding in report.findings if finding.code == "data_folder")
    assert "its disk does not answer" in data.message
    assert report.is_broken
    assert {"proxy variables", "the tray"} <= set(report.checked)
    notes = [finding.message for finding in report.findings if finding.code == "not_checked"]
    assert any("Ollama's program" in note for note in notes)
    assert any("the clock" in note and "no answer in time" in note for note in notes)


@pytest.mark.timeout(30)  # What hangs is waited for.
async def test_a_port_that_takes_calls_and_never_answers(patient: Patient) -> None:
    """Who holds it is told all the same."""
    code = (
        "import socket, sys; server = socket.create_server(('127.0.0.1', int(sys.argv[1]))); "
        "print('up', flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", code, str(patient.port)]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdin=pipe, stdout=pipe) as deaf:  # noqa: ASYNC220 - of the test's own
        assert deaf.stdout is not None
        assert deaf.stdout.readline()
        found = only(await patient.examined("Ollama's port"))
        deaf.kill()
    assert found.code == "port_in_use"
    assert f"pid {deaf.pid}" in found.message


@pytest.mark.timeout(30)  # A program starts.
def test_a_clock_that_is_years_behind(patient: Patient) -> None:
    """By the program's own files, which were installed after that."""
    clock = require(lambda: Clock(patient.root))
    clock.step_to(-2 * YEAR)
    _, told = by_command(patient.root, "--json", env=clock.environment)
    assert told is not None
    (found,) = [finding for finding in told.findings if finding["code"] == "clock_wrong"]
    assert found["severity"] == "warning"


async def test_a_desktop_without_a_tray(stack: ExitStack, patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session bus with nobody to show icons, and one that is dead. Without a screen there is nothing to miss."""
    bus = require(lambda: stack.enter_context(session_bus()))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus)
    assert (await patient.examined("the tray")).findings == ()
    monkeypatch.setenv("DISPLAY", ":987")
    found = only(await patient.examined("the tray"))
    assert (found.code, found.severity) == ("no_tray_host", Severity.WARNING)
    assert "AppIndicator" in found.message
    stack.close()
    assert only(await patient.examined("the tray")).code == "no_tray_host"


async def test_a_service_that_takes_the_port_at_boot(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is enabled, whether it runs or not. At another port than its own it fights for nothing."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    wanted = tmp_path / "systemd" / "user" / "default.target.wants"
    wanted.mkdir(parents=True)
    (wanted / "ollama.service").symlink_to("/usr/lib/systemd/user/ollama.service")
    assert (await patient.examined("other Ollamas on this machine")).findings == ()
    patient.set(ollamaUrl="http://127.0.0.1:11434")
    found = next(
        one for one in (await patient.examined("other Ollamas on this machine")).findings if "user" in one.message
    )
    assert (found.code, found.severity) == ("rival", Severity.WARNING)
    assert "systemctl --user disable --now ollama.service" in (found.action or "")
    assert "aura-ollama settings set owner systemd-user:ollama.service" in (found.action or "")
    patient.set_own(owner="systemd-user:ollama.service")
    assert all("user" not in one.message for one in (await patient.examined("other Ollamas on this machine")).findings)


async def test_a_service_that_runs_an_ollama_on_the_port(patient: Patient, tmp_path: Path) -> None:
    """The way out is to stop the service, not the process, which would come again."""
    require(ollama)
    with control_group("aura-test.slice/aura-test.service") as group, OllamaServer(tmp_path / "other") as server:
        (group / "cgroup.procs").write_text(str(server.pid))
        patient.port = server.port
        patient.set()
        found = only(await patient.examined("Ollama's port"))
        patient.set_own(owner="systemd:aura-test.service")
        patient.set(ollamaExecutablePath="/gone/ollama")
        chosen = await patient.examined("Ollama's port", "Ollama's program", "the folder of the models")
    assert found.code == "already_running"
    assert "systemctl stop aura-test.service" in (found.action or "")
    assert "aura-ollama settings set owner systemd:aura-test.service" in (found.action or "")
    assert [one for one in chosen.findings if one.code != "models_disk_nearly_full"] == []


async def test_a_program_that_only_poses_as_an_ollama(patient: Patient) -> None:
    """It answers as one, and is served as one: it is told whose it is."""
    with stranger(patient.port, {}):
        found = only(await patient.examined("Ollama's port"))
    assert found.code == "already_running"
    assert f"pid {os.getpid()}" in (found.action or "")


async def test_a_graphics_card_without_its_driver(stack: ExitStack, tmp_path: Path, patient: Patient) -> None:
    """It is on the bus, and no driver tells of it."""
    bus = Path("/sys/bus/pci/devices")
    if not bus.is_dir():
        pytest.skip("this machine has no PCI bus to put a card on")
    require(lambda: stack.enter_context(small_disk(bus, 1 << 20)))
    for place, vendor, kind in (("0000:01:00.0", "0x10de", "0x030000"), ("0000:02:00.0", "0x10de", "0x040300")):
        (bus / place).mkdir()
        for name, text in (("vendor", vendor), ("class", kind), ("device", "0x2684")):
            (bus / place / name).write_text(f"{text}\n")
    if any(card.vendor == "nvidia" for card in await asyncio.to_thread(gpu.installed_gpus)):
        pytest.skip("this machine has such a card with its driver")
    found = only(await patient.examined("the graphics card"))
    assert (found.code, found.severity) == ("gpu_without_driver", Severity.WARNING)
    assert "NVIDIA (device 0x2684 at 0000:01:00.0)" in found.message


@pytest.mark.timeout(60)  # Programs start.
def test_a_graphics_card_that_ollama_does_not_use(tmp_path: Path, patient: Patient) -> None:
    """The driver tells of a card; the log of the Ollama that was started here says that it found none.

    Switched off in the settings it is no fault, and without a log nobody can tell.
    """
    require(ollama)
    env = {"LD_LIBRARY_PATH": str(stub_library(tmp_path)), "STUB_NVML": ""}

    def codes_of_card() -> list[str | None]:
        _, told = by_command(patient.root, "--json", env=env)
        assert told is not None
        return [
            finding["code"]
            for finding in told.findings
            if "gpu" in str(finding["code"]) or "the graphics card, since" in str(finding["message"])
        ]

    assert codes_of_card() == ["not_checked"]
    with OllamaServer(tmp_path / "other") as server:
        patient.paths.logs.mkdir(parents=True)
        (patient.paths.logs / "ollama-20261128-000000.log").write_bytes(server.log.read_bytes())
    assert codes_of_card() == ["gpu_not_used"]
    patient.set(ollamaGpuEnabled=False)
    assert codes_of_card() == ["gpu_switched_off"]


async def test_a_token_that_others_could_read(patient: Patient) -> None:
    """It is not used any more; the right to read it is not taken away here."""
    patient.paths.run.mkdir(mode=0o700)
    secret = patient.paths.run / "token"
    secret.write_text("x" * 43)
    secret.chmod(0o644)
    found = only(await patient.examined("the token"))
    assert (found.code, found.severity) == ("token_unsafe", Severity.WARNING)
    assert secret.stat().st_mode & 0o777 == 0o644
