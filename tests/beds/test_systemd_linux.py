"""Booted systems are apart from each other, and one that has ended says so."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psutil
import pytest

from tests.beds.require import require
from tests.beds.systemd import Booted, is_inside

SLEEPS = "[Service]\nExecStart=/bin/sleep 1000\n"


@pytest.mark.timeout(120)  # two systems boot
def test_two_systems_do_not_meet_and_an_end_is_told(tmp_path: Path) -> None:
    with require(lambda: Booted(tmp_path)) as first, Booted(tmp_path) as second:
        for booted in (first, second):
            booted.write("/etc/systemd/system/sleeps.service", SLEEPS)
            booted.run("systemctl", "daemon-reload")
            booted.run("systemctl", "start", "sleeps.service")
        # It would signal, and wait for, all in the group of that name.
        second.run("systemctl", "kill", "--signal=KILL", "sleeps.service")
        assert second.run("cat", "/sys/fs/cgroup/init.scope/cgroup.procs").split() == ["1"]
        assert first.property("sleeps.service", "ActiveState") == "active"

        entering = subprocess.Popen(first.command("sleep", "1000"))
        while not (entered := psutil.Process(entering.pid).children()):
            assert entering.poll() is None
        entering.kill()
        entering.wait(10)
        # Then it is below this process, as one of ours would be.
        assert is_inside(entered[0])
        # A dead child of ours would keep its system from ending.
        entered[0].kill()
        entered[0].wait(10)

        init = psutil.Process(first.init)
        assert is_inside(init)
        assert not is_inside(psutil.Process())
        init.kill()
        psutil.wait_procs([init], timeout=10)
        with pytest.raises(AssertionError, match="terminated by signal KILL"):
            first.run("true")
        second.run("true")
