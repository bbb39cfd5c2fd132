"""Owners are made by the text of the setting, and who has none of them pays for none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.owners.kinds import Owners
from core.platform import SYSTEM
from core.settings.owner import KINDS, PROCESS, not_here, parse
from core.settings.paths import Paths
from core.supervision.state import State
from tests import fake_ollama
from tests.core.owners.test_shim_start import plan_for
from tests.rig import Rig, asked_until

HEAVY = ("dbus_fast", "aiodocker", "plistlib")
ELSEWHERE = next(kind.example for kind in KINDS.values() if SYSTEM not in kind.systems)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_known_by_its_example(kind: str) -> None:
    assert parse(KINDS[kind].example) == (kind, KINDS[kind].example.partition(":")[2])
    assert (not_here(KINDS[kind].example) is None) == (SYSTEM in KINDS[kind].systems)
    with pytest.raises(ValueError, match="names no owner"):
        parse(kind)


def test_a_program_without_other_owners_imports_nothing_for_them() -> None:
    code = "import sys, api.__main__; print(*sorted(name for name in sys.modules if name.startswith('core.owners.')))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    packages = {path.name for path in Path("core/owners").iterdir() if path.is_dir()} - {"__pycache__"}
    assert not {name.split(".")[2] for name in loaded} & packages
    code = f"import sys, api.__main__; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split() == []


async def test_an_owner_of_another_system_is_told_of_and_starts_nothing(tmp_path: Path) -> None:
    owner = Owners(Paths(tmp_path)).named(ELSEWHERE)
    assert list(await owner.find(1.0)) == []
    for attempt in (owner.check, owner.start):
        with pytest.raises(ConfigError) as failure:
            await attempt(plan_for(tmp_path))
        assert f"`{ELSEWHERE}`" in failure.value.message
        assert SYSTEM in failure.value.message
        assert failure.value.action
        assert f"`{PROCESS}`" in failure.value.action


async def test_status_says_that_the_owner_is_not_to_be_had_here(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"), owner=ELSEWHERE)
    async with rig.supervising() as supervisor:
        status = await supervisor.status()
        assert status.state is State.STOPPED
        assert status.controlled_by == ELSEWHERE
        assert status.settings_problem
        assert ELSEWHERE in status.settings_problem
        with pytest.raises(ConfigError, match="is not on this system"):
            await supervisor.start()
        rig.configure(owner=PROCESS)
        assert (await supervisor.start(by_user=True)).controlled_by == PROCESS
        # A process of ours stays ours until it has ended.
        rig.configure(owner=ELSEWHERE)
        status = await asked_until(supervisor, lambda status: status.settings_problem is not None)
        assert (status.state, status.controlled_by) == (State.RUNNING, PROCESS)
        assert (await supervisor.stop()).controlled_by == ELSEWHERE
