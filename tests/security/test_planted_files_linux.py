"""Files in `run/` that another user may have put there: none is believed, written through, or given the token."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import pytest

if sys.platform != "linux":
    raise ImportError("These tests are for Linux only")

from core import files, token
from core.owners.adopt import adopt
from core.owners.bundle import PythonShim
from core.owners.run_record import record_path, sweep_all
from core.platform import make_private_dir
from core.settings.paths import Paths
from core.settings.reader import SettingsReader
from tests import fake_ollama
from tests.api.test_server import Place, run_sidecar
from tests.beds.wire import call, free_port
from tests.rig import Rig, lives
from tests.security.another_user import give_to_nobody, require_root


@pytest.fixture(autouse=True)
def as_root() -> None:
    """A second user is needed."""
    require_root()


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Our own private folder."""
    folder = tmp_path / "run"
    make_private_dir(str(folder))
    return folder


def plant(path: Path, how: str, content: str) -> None:
    """Put content there in a way in which somebody else may have."""
    if how == "a link":
        elsewhere = path.with_name("elsewhere")
        elsewhere.write_text(content)
        path.symlink_to(elsewhere)
        return
    if how == "a pipe":
        os.mkfifo(path, 0o600)
        return
    path.write_text(content)
    path.chmod(0o666 if how == "open to all" else 0o600)
    if how == "another user's":
        give_to_nobody(path)


WAYS = ("a link", "a pipe", "open to all", "another user's")


@pytest.mark.parametrize("how", WAYS)
def test_a_planted_file_is_not_read(run_dir: Path, how: str) -> None:
    plant(run_dir / "note", how, "planted")
    with pytest.raises(PermissionError):
        files.read(str(run_dir / "note"))


@pytest.mark.parametrize("how", WAYS)
def test_a_planted_token_opens_nothing_and_a_new_one_takes_its_place(run_dir: Path, how: str) -> None:
    plant(run_dir / "token", how, "planted-" * 8)
    secret = token.read_or_create(run_dir)
    assert "planted" not in secret
    status = (run_dir / "token").lstat()
    assert (status.st_uid, status.st_mode & 0o7777) == (0, 0o600)
    assert token.read_or_create(run_dir) == secret


def test_a_planted_draft_is_not_written_through(run_dir: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (run_dir / f"token.{os.getpid()}.new").symlink_to(victim)
    token.rotate(run_dir)
    assert victim.read_text() == "precious"
    assert not (run_dir / "token").is_symlink()


@pytest.mark.parametrize("how", WAYS)
async def test_a_planted_record_is_set_aside_and_nothing_is_signalled(tmp_path: Path, how: str) -> None:
    """It describes a real shim of ours perfectly; only who wrote it is wrong."""
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    async with rig.supervising(stop_ollama=False) as supervisor:
        await supervisor.start()
    family = rig.family()
    path = record_path(rig.paths.run)
    content = path.read_text()
    path.unlink()
    plant(path, how, content)
    try:
        assert (await asyncio.to_thread(adopt, rig.paths.run, 5.0)).found == []
        assert all(lives(member) for member in family)
        assert not path.exists()
    finally:
        path.unlink(missing_ok=True)
        await asyncio.to_thread(files.write, str(path), content)
        async with rig.supervising():
            pass


@pytest.mark.parametrize("how", ["another user's folder", "a link"])
def test_a_run_folder_that_is_not_ours_is_refused_in_words(tmp_path: Path, how: str) -> None:
    run = Paths(tmp_path).run
    run.parent.mkdir(parents=True)
    if how == "a link":
        (tmp_path / "elsewhere").mkdir()
        run.symlink_to(tmp_path / "elsewhere")
    else:
        run.mkdir(mode=0o777)
        give_to_nobody(run)
    found = run_sidecar("--port", "0", "--data-dir", str(tmp_path))
    assert found.returncode == 1
    assert str(run) in found.stderr
    assert "Traceback" not in found.stderr
    assert list(run.iterdir()) == []


def test_a_planted_note_does_not_get_the_token(tmp_path: Path) -> None:
    """A second instance tells the first one to show itself, and bears the token; it must know whom it tells."""
    from api.server import _read_note

    make_private_dir(str(Paths(tmp_path).run))
    note = Paths(tmp_path).run / "sidecar.json"
    plant(note, "another user's", json.dumps({"url": f"http://127.0.0.1:{free_port()}", "pid": 1}))
    assert _read_note(note) == (None, None)


def test_what_is_written_is_for_this_user_alone(run_dir: Path) -> None:
    old = os.umask(0)
    try:
        files.write(str(run_dir / "note"), "secret")
    finally:
        os.umask(old)
    assert (run_dir / "note").stat().st_mode & 0o7777 == 0o600
    assert run_dir.stat().st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_planted_lock_keeps_nobody_out(tmp_path: Path, kind: str) -> None:
    """Held by its maker, or leading somewhere else."""
    place = Place(tmp_path / "place")
    run = place.root / "AuraData" / "run"
    run.mkdir(parents=True, mode=0o700)
    lock = run / "sidecar.lock"
    if kind == "link":
        lock.symlink_to(tmp_path / "elsewhere")
    else:
        lock.touch()
        give_to_nobody(lock)
    with contextlib.ExitStack() as held:
        if kind == "file":
            file = held.enter_context(lock.open("w"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with place.sidecar() as sidecar:
            assert call("GET", f"{sidecar.url}/healthz").status == 200
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("how", ["a link", "a pipe", "another user's"])
def test_a_planted_log_of_ours_is_neither_written_through_nor_waited_for(tmp_path: Path, how: str) -> None:
    place = Place(tmp_path / "place")
    log = place.root / "AuraData" / "logs" / "sidecar.log"
    log.parent.mkdir(parents=True)
    plant(log, how, "before\n")
    with place.sidecar() as sidecar:
        assert call("GET", f"{sidecar.url}/api/ollama/status").status == 200
    assert log.lstat().st_uid == os.geteuid()
    assert "before" not in log.read_text()
    if how == "a link":
        assert log.with_name("elsewhere").read_text() == "before\n"


def test_a_run_folder_exchanged_for_a_link_lets_nothing_elsewhere_be_read_written_or_deleted(
    run_dir: Path, tmp_path: Path
) -> None:
    """Each call asks anew whose folder it is in, and stays in the one that it asked about."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    names = ("token", "default.spec.json", "default.json", "ollama-1.json", "x.999999.new", f"note.{os.getpid()}.new")
    for name in names:
        (elsewhere / name).write_text("x" * 40)
        (elsewhere / name).chmod(0o600)
    run_dir.rename(tmp_path / "before")
    run_dir.symlink_to(elsewhere)

    sweep_all(run_dir)
    assert adopt(run_dir, 0.0).found == []
    for touch in (files.read, lambda path: files.write(path, "new"), files.read_secret):
        with pytest.raises(PermissionError, match="This folder is a link"):
            touch(str(run_dir / "note"))
    with pytest.raises(PermissionError, match="This folder is a link"):
        token.rotate(run_dir)
    with pytest.raises(PermissionError, match="This folder is a link"):
        token.read_or_create(run_dir)
    assert {path.name: path.read_text() for path in elsewhere.iterdir()} == dict.fromkeys(names, "x" * 40)


def test_a_data_folder_of_another_user_is_refused_in_words(tmp_path: Path) -> None:
    """Whose `ollamaExecutablePath` would run as us."""
    data = Paths(tmp_path).data
    data.mkdir(mode=0o777)
    data.chmod(0o777)
    give_to_nobody(data)
    found = run_sidecar("--port", "0", "--data-dir", str(tmp_path))
    assert found.returncode == 1
    assert f"{data}: This folder is not used: it belongs to the user nobody" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_shim_is_neither_copied_nor_deleted_beyond_a_link_in_the_place_of_the_run_folder(
    run_dir: Path, tmp_path: Path
) -> None:
    """Whoever may rename the folder can exchange it at any moment, so it is exchanged again and again."""
    elsewhere = tmp_path / "elsewhere"
    precious = elsewhere / "shim-mine" / "deep" / "precious"
    precious.parent.mkdir(parents=True)
    precious.write_text("x")
    before = sorted(elsewhere.rglob("*"))
    aside = tmp_path / "aside"
    aside.symlink_to(elsewhere)
    (run_dir / "shim-old" / "deep").mkdir(parents=True)
    shim = PythonShim(resources.files("core"))
    refused = 0
    with exchanging(run_dir, aside):
        for _ in range(30):
            try:
                shim.command(run_dir, Path("spec"))
            except OSError:
                refused += 1
    assert sorted(elsewhere.rglob("*")) == before
    assert precious.read_text() == "x"
    # At rest it works, and the link is refused in words.
    ours, link = (aside, run_dir) if run_dir.is_symlink() else (run_dir, aside)
    with pytest.raises(PermissionError, match="This folder is a link"):
        shim.command(link, Path("spec"))
    copy = Path(shim.command(ours, Path("spec"))[-3])
    assert (copy / "core" / "shim" / "main.py").is_file()
    assert not (ours / "shim-old").exists()


def test_a_link_among_the_files_of_a_copy_is_no_part_of_it(run_dir: Path, tmp_path: Path) -> None:
    shim = PythonShim(resources.files("core"))
    copy = Path(shim.command(run_dir, Path("spec"))[-3])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    (copy / "json").symlink_to(elsewhere)
    other = Path(shim.command(run_dir, Path("spec"))[-3])
    assert other != copy
    assert not copy.exists()
    assert (elsewhere / "precious").read_text() == "x"


@contextmanager
def exchanging(one: Path, other: Path) -> Iterator[None]:
    """Let the two change places, at once and without end: renameat2(2)."""
    script = """
import ctypes, os, sys
rename = ctypes.CDLL(None, use_errno=True).renameat2
one, other = map(os.fsencode, sys.argv[1:])
while True:
    if rename(-100, one, -100, other, 2):
        raise OSError(ctypes.get_errno(), "renameat2")
    os.write(1, b".")
"""
    command = [sys.executable, "-c", script, str(one), str(other)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        said = process.stdout
        assert said is not None
        assert said.read(1) == b"."
        # A pipe that nobody reads would stop it.
        reader = threading.Thread(target=said.read, daemon=True)
        reader.start()
        yield
        assert process.poll() is None
        process.kill()
        reader.join()


@pytest.mark.parametrize("which", ["its folder", "the folder of a link on the way"])
def test_settings_behind_a_link_are_used_only_if_nobody_else_may_exchange_them(tmp_path: Path, which: str) -> None:
    """The file itself is ours, but who may write the folder that the link leads to decides which file that is."""
    paths = Paths(tmp_path / "ours")
    paths.data.mkdir(parents=True)
    theirs, target = tmp_path / "theirs", tmp_path / "target"
    for folder in (theirs, target):
        folder.mkdir()
    (target / "s.json").write_text('{"ollamaExecutablePath": "/theirs/ollama"}')
    (theirs / "link.json").symlink_to("../target/s.json")
    paths.settings.symlink_to(theirs / "link.json")
    reader = SettingsReader(paths)
    assert reader.read().ollama_executable_path == "/theirs/ollama"
    open_to_all = target if which == "its folder" else theirs
    open_to_all.chmod(0o777)
    (target / "s.json").write_text('{"ollamaExecutablePath": "/other/ollama"}')
    assert reader.read().ollama_executable_path == "/theirs/ollama"
    assert reader.problem is not None
    assert f"{open_to_all}" in reader.problem.message.replace("/theirs/../", "/")
    assert "every user may change it" in reader.problem.message
    assert reader.problem.action is not None
    open_to_all.chmod(0o755)
    assert reader.read().ollama_executable_path == "/other/ollama"


@pytest.mark.parametrize(
    ("mode", "gid", "why"),
    [
        (0o666, 0, "every user may change it"),
        (0o664, 4, "everybody in the group adm may change it"),
        (None, 0, "it belongs to the user nobody"),
    ],
)
@pytest.mark.parametrize("which", ["the file", "its folder"])
def test_settings_that_another_user_may_change_are_not_used(
    tmp_path: Path, which: str, mode: int | None, gid: int, why: str
) -> None:
    paths = Paths(tmp_path)
    paths.data.mkdir()
    paths.settings.write_text('{"ollamaExecutablePath": "/theirs/ollama"}')
    place = paths.settings if which == "the file" else paths.data
    if mode is None:
        give_to_nobody(place)
    else:
        os.chown(place, 0, gid)
        place.chmod(mode | (0o111 if which == "its folder" else 0))
    reader = SettingsReader(paths)
    assert reader.read().ollama_executable_path is None
    assert reader.problem is not None
    assert reader.problem.message == f"{place} is not used: {why}"
    assert reader.problem.action
    os.chown(place, 0, 0)
    place.chmod(0o775)
    assert reader.read().ollama_executable_path == "/theirs/ollama", "a group that is ours alone is no other user"
    assert reader.problem is None
