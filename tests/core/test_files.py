"""What is too large for a private file is told as that; the largest environment that the settings take is not."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from core import files
from core.platform import make_private_dir
from tests import fake_ollama
from tests.rig import Rig


def test_a_file_beyond_the_limit_is_an_error_and_not_a_part_of_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    make_private_dir(str(run))
    files.write(str(run / "note"), "x" * (4 << 20))
    assert len(files.read(str(run / "note"))) == 4 << 20
    files.write(str(run / "note"), "x" * ((4 << 20) + 1))
    with pytest.raises(OSError, match="It is larger than 4 MiB") as caught:
        files.read(str(run / "note"))
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(run / "note"))


async def test_the_largest_environment_that_the_settings_take_reaches_ollama(tmp_path: Path) -> None:
    """Each of its bytes takes six where it is handed over."""
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    own = json.loads(rig.paths.sidecar.read_text())["env"]
    rig.configure(env={**own, **{f"A{number:02}": "\x01" * 32_700 for number in range(15)}})
    async with rig.supervising() as supervisor:
        assert (await supervisor.start()).is_running
