"""`aura-ollama doctor`: what it prints, how it ends, and the report that it writes."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import pytest

from cli import exits
from core import token
from core.settings.paths import Paths
from tests import tied
from tests.beds.sidecar import Sidecar
from tests.beds.wire import free_port
from tests.cli.terminal import aura

pytestmark = pytest.mark.timeout(60)

# What a machine of tests may lack is no fault of what is tested.
QUIET = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "HTTP_PROXY": "", "http_proxy": "", "ALL_PROXY": "", "all_proxy": ""}
OF_THE_MACHINE = {"models_disk_nearly_full", "gpu_without_driver", "gpu_not_used", "rival", "no_tray_host"}


def folder(root: Path, **settings: object) -> Path:
    """A data folder with these settings, and a port for a sidecar that nobody has."""
    data = root / "AuraData"
    data.mkdir(parents=True)
    (data / "settings.json").write_text(json.dumps({"ollamaUrl": f"http://127.0.0.1:{free_port()}", **settings}))
    (data / "ollama-sidecar.json").write_text(json.dumps({"port": free_port()}))
    return root


def test_where_all_is_well_it_says_so_and_what_was_checked(running: Sidecar) -> None:
    """With the sidecar's help: its own Ollama is not taken for somebody else's."""
    said = aura("doctor", "--json", data=running.root, env=QUIET)
    found = [one for one in said.json["findings"] if one["severity"] != "note" and one["code"] not in OF_THE_MACHINE]
    assert found == []
    assert (said.code, said.json["broken"]) == (exits.DONE, False)
    assert {"the sidecar", "Ollama's port", "Ollama's version", "the token"} <= set(said.json["checked"])
    shown = aura("doctor", data=running.root, env=QUIET)
    assert shown.code == exits.DONE
    assert "Checked: the sidecar, " in shown.out
    if not said.json["findings"]:
        assert shown.out.endswith("Nothing is wrong.\n")
    # It was started for this test alone.
    assert aura("stop", data=running.root).code == exits.DONE


def test_what_is_broken_comes_first_with_its_way_out_and_ends_with_1(tmp_path: Path) -> None:
    """In plain text where there is no terminal, and without a sidecar."""
    said = aura("doctor", data=folder(tmp_path, ollamaExecutablePath="ollama"), env=QUIET)
    assert said.code == exits.FAILED
    first, second, third = said.out.splitlines()[:3]
    assert first == "✗ Ollama path is invalid"
    assert second == "    Ollama path ollama is relative"
    assert third.startswith("    → Give the full path")
    assert "! The sidecar does not run" in said.out
    assert said.out.index("✗") < said.out.index("! The sidecar")
    assert "\x1b" not in said.out
    assert said.err == ""


def test_json_has_each_finding_with_a_stable_code(tmp_path: Path) -> None:
    said = aura("doctor", "--json", data=folder(tmp_path, ollamaExecutablePath="ollama"), env=QUIET)
    assert said.code == exits.FAILED
    assert said.json["broken"] is True
    assert said.json["findings"][0] == {
        "code": "path_invalid",
        "severity": "broken",
        "title": "Ollama path is invalid",
        "message": "Ollama path ollama is relative",
        "action": said.json["findings"][0]["action"],
    }


def test_a_text_from_outside_does_not_steer_the_terminal(tmp_path: Path) -> None:
    said = aura("doctor", data=folder(tmp_path, ollamaExecutablePath="/x/\x1b[31m/ollama"), env=QUIET)
    assert "\x1b" not in said.out
    assert "\\x1b[31m" in said.out


def test_a_report_tells_no_secret_and_not_who_asks(tmp_path: Path) -> None:
    """Neither the token nor a key of the settings or of our environment; the home folder is `~`."""
    secrets = {"key": "sk-of-the-settings", "mine": "sk-of-the-environment"}
    # Absolute on Windows too.
    top = tmp_path.anchor.replace("\\", "/")
    root = folder(tmp_path / "home" / "data", ollamaExecutablePath=f"{top}{secrets['key']}/{secrets['mine']}/ollama")
    paths = Paths(root)
    paths.sidecar.write_text(json.dumps({"port": free_port(), "env": {"MY_API_KEY": secrets["key"]}}))
    secret = token.rotate(paths.run)
    paths.settings.write_text(paths.settings.read_text().replace('/ollama"', f'/{secret}/ollama"'))
    report = tmp_path / "report.md"
    home = str(tmp_path / "home")
    env = QUIET | {"HOME": home, "USERPROFILE": home, "OTHER_API_KEY": secrets["mine"]}
    said = aura("doctor", "--report", str(report), data=root, env=env)
    text = report.read_text(encoding="utf-8")
    assert text.startswith("# aura-ollama doctor\n")
    assert "/***/***/***/ollama does not exist" in text.replace("\\", "/")
    assert "~" in text
    for printed in (text, said.out, said.err):
        assert not any(hidden in printed for hidden in (*secrets.values(), secret))
    assert home not in text
    assert f"user {getpass.getuser()}" not in text
    assert str(report) in said.err


def test_a_report_replaces_an_earlier_one_and_nothing_else(tmp_path: Path) -> None:
    """Unless told to; and it is not written half."""
    root = folder(tmp_path / "data")
    report = tmp_path / "report.md"
    for _ in range(2):
        assert "The report is in" in aura("doctor", "--report", str(report), data=root, env=QUIET).err
    before = report.read_text(encoding="utf-8")
    report.write_text(f"My notes\n{before}", encoding="utf-8")
    said = aura("doctor", "--json", "--report", str(report), data=root, env=QUIET)
    assert said.code == exits.FAILED
    assert "is there, and is no earlier report. Give another name, or --force" in said.err
    assert said.json["checked"]
    assert report.read_text(encoding="utf-8").startswith("My notes")
    aura("doctor", "--force", "--report", str(report), data=root, env=QUIET)
    assert report.read_text(encoding="utf-8").startswith("# aura-ollama doctor")
    for wrong, why in ((tmp_path, "is not a plain file"), (tmp_path / "no" / "folder", "cannot be written")):
        said = aura("doctor", "--force", "--report", str(wrong), data=root, env=QUIET)
        assert said.code == exits.FAILED
        assert why in said.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "report.md"]


@tied.posix("modes")
def test_a_report_is_for_this_user_alone(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    aura("doctor", "--report", str(report), data=folder(tmp_path / "data"), env=QUIET)
    assert report.stat().st_mode & 0o777 == 0o600
