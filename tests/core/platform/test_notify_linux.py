"""sd_notify(3), spoken to a socket as systemd has it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.platform.notify import Manager, notified

assert sys.platform == "linux"


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """The address as the variable has it, and the socket that listens there."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@aura-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0"))
        listener.settimeout(5)
        yield name, listener


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)


def test_the_manager_hears_each_line(manager: tuple[str, socket.socket]) -> None:
    name, listener = manager
    assert Manager(name).tell("READY=1", "STATUS=é")
    assert listener.recv(100) == "READY=1\nSTATUS=é".encode()


def test_a_manager_that_does_not_read_holds_nobody(manager: tuple[str, socket.socket]) -> None:
    name, listener = manager
    told = 0
    while Manager(name).tell("WATCHDOG=1"):
        told += 1
    assert told > 0
    listener.recv(100)
    assert Manager(name).tell("WATCHDOG=1")


def test_a_manager_that_is_gone_is_told_nothing(tmp_path: Path) -> None:
    assert not Manager(str(tmp_path / "none")).tell("READY=1")


@pytest.mark.parametrize(
    ("pid", "microseconds", "seconds"),
    [("", "30000000", 30.0), ("own", "1500000", 1.5), ("1", "30000000", None), ("", "", None), ("", "0", None)],
)
def test_its_variables_are_taken_and_the_watchdog_counts_for_this_process(
    monkeypatch: pytest.MonkeyPatch, pid: str, microseconds: str, seconds: float | None
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)
    assert notified() == Manager("/run/notify", seconds)
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & os.environ.keys()
    assert notified() is None


def test_an_address_that_no_unix_socket_has_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "vsock:2:1234")
    assert notified() is None
