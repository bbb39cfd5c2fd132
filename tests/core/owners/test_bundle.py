"""A frozen program's shim runs from a copy that is whole, true to the program's own, and gone when nobody needs it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from core import __version__
from core.owners.bundle import FrozenShim, PythonShim
from core.platform import EXECUTABLE_NAMES
from tests import tied
from tests.beds.disk import small_disk
from tests.beds.require import require

NAME = f"aura-ollama-shim{Path(EXECUTABLE_NAMES[0]).suffix}"
# A program of one file that waits for ever.
WAITS = next(found for name, found in ((name, shutil.which(name)) for name in ("sleep", "cmd")) if found)


@pytest.fixture
def shim(tmp_path: Path) -> Path:
    """The folder of a shim, as a frozen program brings it along."""
    folder = tmp_path / "program" / "shim"
    (folder / "_internal").mkdir(parents=True)
    shutil.copy(WAITS, folder / NAME)
    (folder / "_internal" / "library.zip").write_bytes(b"PK")
    return folder


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A folder for copies."""
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def copied(run_dir: Path, shim: Path) -> Path:
    """The folder that the shim is to run from."""
    executable, *arguments = FrozenShim(shim).command(run_dir, Path("spec"))
    assert arguments == ["--shim", "spec"]
    assert Path(executable).name == NAME
    return Path(executable).parent


def content(folder: Path) -> dict[str, bytes]:
    """All files below, by name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def running(executable: Path) -> Iterator[None]:
    """Run it meanwhile."""
    command = [str(executable)] if executable.suffix else [str(executable), "600"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        yield
        process.kill()


def test_the_copy_is_whole_named_for_version_and_content_and_used_again(run_dir: Path, shim: Path) -> None:
    first = copied(run_dir, shim)
    assert first.parent == run_dir
    assert first.name.startswith(f"shim-{__version__}-")
    assert content(first) == content(shim)
    made = (first / NAME).stat().st_mtime_ns
    assert copied(run_dir, shim) == first
    assert (first / NAME).stat().st_mtime_ns == made
    assert list(run_dir.iterdir()) == [first]


@pytest.mark.parametrize("harm", ["changed", "added", "missing", "planted beforehand"])
def test_a_copy_that_is_not_true_is_never_run(run_dir: Path, shim: Path, harm: str) -> None:
    bad = copied(run_dir, shim)
    match harm:
        case "changed":
            (bad / "_internal" / "library.zip").write_bytes(b"XX")
        case "added":
            (bad / "_internal" / "version.dll").write_bytes(b"MZ")
        case "missing":
            (bad / "_internal" / "library.zip").unlink()
        case _:
            shutil.rmtree(bad)
            bad.mkdir()
    good = copied(run_dir, shim)
    assert good != bad
    assert content(good) == content(shim)
    assert list(run_dir.iterdir()) == [good]
    assert copied(run_dir, shim) == good


def test_another_version_s_copy_goes_once_nothing_runs_from_it(run_dir: Path, shim: Path) -> None:
    old = copied(run_dir, shim)
    before = content(old)
    (shim / "_internal" / "library.zip").write_bytes(b"PK, newer")
    with running(old / NAME):
        new = copied(run_dir, shim)
        assert new != old
        assert content(old) == before
    assert copied(run_dir, shim) == new
    assert list(run_dir.iterdir()) == [new]


def test_what_a_crash_left_half_copied_goes(run_dir: Path, shim: Path) -> None:
    (run_dir / "shim-0123abcd.new" / "_internal").mkdir(parents=True)
    (run_dir / "default.json").write_text("{}")
    copy = copied(run_dir, shim)
    assert sorted(run_dir.iterdir()) == sorted([copy, run_dir / "default.json"])


def test_a_copy_that_cannot_be_made_is_an_error_and_leaves_nothing(run_dir: Path, shim: Path) -> None:
    run_dir.rmdir()
    run_dir.write_text("in the way")
    with pytest.raises(OSError, match="run"):
        FrozenShim(shim).command(run_dir, Path("spec"))
    assert run_dir.read_text() == "in the way"


def test_a_good_copy_is_run_though_the_program_is_gone_or_another(run_dir: Path, shim: Path) -> None:
    program = FrozenShim(shim)
    executable = program.command(run_dir, Path("spec"))
    (shim / NAME).write_bytes(b"of another version")
    assert program.command(run_dir, Path("spec")) == executable
    shutil.rmtree(shim)
    assert program.command(run_dir, Path("spec")) == executable


@pytest.mark.parametrize("harm", ["removed", "upgraded"])
def test_without_a_good_copy_what_is_no_more_as_it_was_is_not_run(run_dir: Path, shim: Path, harm: str) -> None:
    program = FrozenShim(shim)
    if harm == "removed":
        shutil.rmtree(shim)
    else:
        (shim / NAME).write_bytes(b"of another version")
    with pytest.raises(FileNotFoundError):
        program.command(run_dir, Path("spec"))
    assert list(run_dir.iterdir()) == []


@tied.linux("a disk mounted so that no program on it may be run")
def test_where_no_copy_may_be_run_the_program_s_own_shim_is(run_dir: Path, shim: Path) -> None:
    with ExitStack() as disks:
        require(lambda: disks.enter_context(small_disk(run_dir, 16 << 20, "noexec")))
        assert FrozenShim(shim).command(run_dir, Path("spec")) == [str(shim / NAME), "--shim", "spec"]


def test_the_modules_of_a_shim_are_copied_whole_and_its_bytecode_does_not_count(run_dir: Path, tmp_path: Path) -> None:
    package = tmp_path / "core"
    (package / "platform").mkdir(parents=True)
    (package / "shim.py").write_text("main = print")
    (package / "platform" / "__init__.py").write_text("")
    program = PythonShim(package)
    command = program.command(run_dir, Path("spec"))
    copy = Path(command[-3])
    assert content(copy) == {"core/shim.py": b"main = print", "core/platform/__init__.py": b""}
    (copy / "core" / "__pycache__").mkdir()
    (copy / "core" / "__pycache__" / "shim.pyc").write_bytes(b"")
    assert program.command(run_dir, Path("spec")) == command
    (copy / "core" / "json.py").write_text("")
    assert program.command(run_dir, Path("spec")) != command
