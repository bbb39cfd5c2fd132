"""Finding the executable, on real files. No candidate is ever run."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from core.errors import PathInvalid, PathNotConfigured
from core.ollama import executable
from core.platform import EXECUTABLE_NAMES
from tests import tied
from tests.beds.bound_disk import bound_disk
from tests.beds.require import require

NAME = EXECUTABLE_NAMES[0]
posix_only = tied.posix("the file system there has no such thing")


def make_executable(folder: Path, name: str = NAME) -> Path:
    """A program that would leave a file behind if anybody ran it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\ntouch '{folder}/was-run'\n")
    path.chmod(0o755)
    return path


def error_of(path: str) -> PathInvalid:
    with pytest.raises(PathInvalid) as caught:
        executable.validate(path)
    return caught.value


def test_usable_path_is_returned_as_given_and_not_run(tmp_path: Path) -> None:
    """Validation only looks."""
    path = make_executable(tmp_path)
    assert executable.validate(str(path)) == path
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("around", ['"{}"', "'{}'", "  {}\r\n", ' "{}" ', "\u202a{}"])
def test_pasted_paths_are_cleaned(tmp_path: Path, around: str) -> None:
    """Quotes, white space and invisible marks around a pasted path mean nothing."""
    path = make_executable(tmp_path / "with space")
    assert executable.validate(around.format(path)) == path


def test_home_and_variables_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` and $VARIABLES work as in a shell."""
    path = make_executable(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("AURA_TEST_PLACE", str(tmp_path))
    assert executable.validate(f"~/{NAME}") == path
    assert executable.validate(f"$AURA_TEST_PLACE/{NAME}") == path


@pytest.mark.parametrize("text", ["", "   ", '""', "\t\n"])
def test_empty_path_is_named_so(text: str) -> None:
    assert error_of(text).message == "Ollama path is empty"


@pytest.mark.parametrize("text", [NAME, f"./{NAME}", f"bin/{NAME}"])
def test_relative_path_is_refused_even_where_it_exists(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would mean another file in another working folder."""
    make_executable(tmp_path)
    make_executable(tmp_path / "bin")
    monkeypatch.chdir(tmp_path)
    assert error_of(text).message == f"Ollama path {text} is relative"


def test_missing_file_is_named_so(tmp_path: Path) -> None:
    path = tmp_path / NAME
    assert error_of(str(path)).message == f"Ollama path {path} does not exist"


def test_path_through_a_file_does_not_exist(tmp_path: Path) -> None:
    path = make_executable(tmp_path) / NAME
    assert error_of(str(path)).message == f"Ollama path {path} does not exist"


@pytest.mark.parametrize("below", ["", "bin", "Contents/Resources"])
def test_folder_error_names_the_executable_in_it(tmp_path: Path, below: str) -> None:
    """The usual slip is to choose the folder, the unpacked archive or the macOS application."""
    path = make_executable(tmp_path / below)
    error = error_of(str(tmp_path))
    assert error.message == f"Ollama path {tmp_path} is a folder; the executable in it is {path}"
    assert error.action == f"Use {path}"


def test_folder_without_executable_is_named_so(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    assert error_of(str(tmp_path)).message == f"Ollama path {tmp_path} is a folder, and holds no Ollama"


@pytest.mark.parametrize("name", ["ollama-app", "ollama.sh", "python", "xollama", "ollama.exe.bak"])
def test_other_names_are_not_an_ollama(tmp_path: Path, name: str) -> None:
    """What would be started as `NAME serve` has to be an Ollama by its name, at least."""
    path = make_executable(tmp_path, name)
    error = error_of(str(path))
    assert error.message.startswith("Not an Ollama executable")
    assert str(path) in error.message


@tied.linux("macOS does not tell how a disk is mounted")
def test_a_disk_that_forbids_programs_is_named_and_no_chmod_is_advised(tmp_path: Path) -> None:
    with ExitStack() as stack:
        disk = require(lambda: stack.enter_context(bound_disk(tmp_path / "disk", "-o", "noexec")))
        error = error_of(str(make_executable(disk.at)))
    assert error.message == f"Ollama path {disk.at / NAME} cannot be run: its disk is mounted with `noexec`"
    assert error.action is not None
    assert "chmod" not in error.action
    assert "noexec" in error.action


@posix_only
def test_file_without_execute_right_says_how_to_give_it(tmp_path: Path) -> None:
    path = make_executable(tmp_path / "with space")
    path.chmod(0o644)
    error = error_of(str(path))
    assert error.message == f"Ollama path {path} is not executable"
    assert error.action == f"Run: chmod +x '{path}'"


@posix_only
def test_device_or_pipe_is_not_a_file(tmp_path: Path) -> None:
    """A pipe is refused without being opened, which would block."""
    path = tmp_path / NAME
    if sys.platform != "win32":
        os.mkfifo(path, 0o755)
    assert error_of(str(path)).message == f"Ollama path {path} is not a regular file"


@posix_only
def test_link_is_judged_by_its_target_and_returned_as_given(tmp_path: Path) -> None:
    """Package managers link `ollama` to versioned files of other names."""
    target = make_executable(tmp_path / "cellar", f"{NAME}-0.9.3")
    link = tmp_path / NAME
    link.symlink_to(target)
    assert executable.validate(str(link)) == link
    target.chmod(0o644)
    assert error_of(str(link)).message == f"Ollama path {link} is not executable"
    target.unlink()
    assert error_of(str(link)).message == f"Ollama path {link} is a link to {target}, which does not exist"


@posix_only
def test_link_to_itself_is_an_error(tmp_path: Path) -> None:
    link = tmp_path / NAME
    link.symlink_to(link)
    assert error_of(str(link)).message.startswith(f"Ollama path {link} cannot be looked at: ")


@pytest.mark.parametrize("character", [chr(0), chr(0xD800), chr(0xDCFF)])
def test_impossible_characters_are_an_error_fit_for_a_log(tmp_path: Path, character: str) -> None:
    """The message can be encoded, whatever the path holds."""
    error = error_of(f"{tmp_path}/{character}/{NAME}")
    assert error.message.startswith("Ollama path ")
    assert error.message.encode("utf-8")


def test_configured_path_wins(tmp_path: Path) -> None:
    configured, known = make_executable(tmp_path / "a"), make_executable(tmp_path / "b")
    assert executable.locate(str(configured), known=[str(known)], path=str(known.parent)) == configured


@pytest.mark.parametrize("configured", ["", "missing"])
def test_bad_configured_path_is_never_replaced_by_another(tmp_path: Path, configured: str) -> None:
    known = make_executable(tmp_path)
    with pytest.raises(PathInvalid):
        executable.locate(configured, known=[str(known)], path=str(tmp_path))


def test_first_usable_known_place_wins_over_path(tmp_path: Path) -> None:
    """Known places that hold nothing usable are passed over."""
    folder = tmp_path / "folder" / NAME
    folder.mkdir(parents=True)
    first, second, third = (make_executable(tmp_path / name) for name in "abc")
    known = [str(tmp_path / "none" / NAME), str(folder), str(first), str(second)]
    assert executable.locate(None, known=known, path=str(third.parent)) == first


def test_path_is_searched_in_order(tmp_path: Path) -> None:
    """Entries without a usable file are passed over."""
    (tmp_path / "empty").mkdir()
    first, second = make_executable(tmp_path / "a"), make_executable(tmp_path / "b")
    entries = [str(tmp_path / "empty"), str(tmp_path / "none"), str(first.parent), str(second.parent)]
    assert executable.locate(None, known=[], path=os.pathsep.join(entries)) == first


def test_path_of_the_environment_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_executable(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert executable.locate(None, known=[]) == path


@pytest.mark.parametrize("entry", ["", ".", "sub", f".{os.sep}sub", "~", os.pathsep])
def test_relative_path_entries_are_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    """Nobody can plant an executable in the folder that we happen to be in. `~` is a name there, not a home."""
    make_executable(tmp_path)
    make_executable(tmp_path / "sub")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with pytest.raises(PathNotConfigured):
        executable.locate(None, known=[], path=entry)


def test_nothing_found_asks_for_the_setting() -> None:
    with pytest.raises(PathNotConfigured) as caught:
        executable.locate(None, known=[], path="")
    assert caught.value.message == "Please configure the Ollama executable path in Settings → Providers → Ollama"
