"""Beds are built once, and never seen half-built."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.beds import cache


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AURA_BED_CACHE", str(tmp_path / "a cache"))
    return tmp_path / "a cache"


def test_many_who_want_a_bed_at_once_get_one_build() -> None:
    """All ask at the same moment, one builds, and all see its whole result."""
    builds: list[Path] = []
    together = threading.Barrier(4, timeout=5)

    def build(place: Path) -> None:
        builds.append(place)
        (place / "part").write_text("whole")

    def want() -> str:
        together.wait()
        return (cache.built("bed", build) / "part").read_text()

    with ThreadPoolExecutor(4) as pool:
        wishes = [pool.submit(want) for _ in range(4)]
        assert [wish.result(timeout=5) for wish in wishes] == ["whole"] * 4
    assert len(builds) == 1


def test_a_failed_build_leaves_nothing_and_the_next_one_succeeds(own_cache: Path) -> None:
    def fail(place: Path) -> None:
        (place / "part").write_text("half")
        raise RuntimeError("no gcc")

    with pytest.raises(RuntimeError, match="no gcc"):
        cache.built("bed", fail)
    assert [path.name for path in own_cache.iterdir() if path.is_dir()] == []
    assert list(cache.built("bed", lambda place: (place / "part").touch()).iterdir()) == [own_cache / "bed" / "part"]


def test_a_bed_has_its_name_only_when_it_is_whole(own_cache: Path) -> None:
    named_during_build: list[bool] = []
    cache.built("bed", lambda place: named_during_build.append((own_cache / "bed").exists()))
    assert named_during_build == [False]
    assert (own_cache / "bed").is_dir()


def test_what_a_killed_build_left_is_cleared_by_the_next(own_cache: Path) -> None:
    (cache.folder() / "bed.part-dead").mkdir()
    cache.built("bed", lambda place: None)
    assert sorted(path.name for path in own_cache.iterdir() if path.is_dir()) == ["bed"]
