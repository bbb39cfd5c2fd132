"""`aura-ollama service` where nothing is, or can be, installed; `test_service_systemd_linux` has a real systemd."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import exits
from tests import tied
from tests.cli.terminal import aura

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("option", [["--port", "0"], ["--port", "x"], ["--host", "localhost"]])
def test_an_option_by_which_it_could_never_serve_is_refused_before_anything_is_done(option: list[str]) -> None:
    said = aura("service", "install", *option)
    assert (said.code, said.out) == (exits.USAGE, "")
    assert f"{option[1]!r} is no " in said.err


@tied.linux("systemd's user manager is asked over a socket")
@pytest.mark.parametrize("action", ["install", "uninstall", "status"])
def test_where_no_user_manager_runs_it_says_so_and_how_to_have_one(tmp_path: Path, action: str) -> None:
    nobody = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "DBUS_SESSION_BUS_ADDRESS": "unix:path=/none"}
    said = aura("service", action, data=tmp_path / "data", env=nobody)
    assert (said.code, said.out) == (exits.FAILED, "")
    assert "systemd's user manager cannot be asked" in said.err
    assert "loginctl enable-linger USER" in said.err
    assert list(tmp_path.iterdir()) == []


@tied.linux("elsewhere the program has another name")
def test_where_there_is_no_systemd_it_says_so(tmp_path: Path) -> None:
    said = aura("service", "status", env={"PATH": str(tmp_path), "HOME": str(tmp_path)})
    assert said.code == exits.FAILED
    assert "There is no systemctl here" in said.err
