"""The owner `systemd:UNIT` against a real systemd that runs the real Ollama, with our sidecar inside."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from core.owners.systemd.environment import parse
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import copy_models
from tests.beds.serviced import PROJECT, Serviced
from tests.beds.systemd import Booted
from tests.beds.wire import call, free_port
from tests.words import raw

UNIT = "ollama.service"
OWNER = f"systemd:{UNIT}"
USER, UID = "ada", 4100
RULE = f"""
polkit.addRule(function(action, subject) {{
    if (action.id == "org.freedesktop.systemd1.manage-units" && action.lookup("unit") == "{UNIT}")
        return subject.user == "{USER}" ? polkit.Result.YES : polkit.Result.NOT_HANDLED;
}});
"""
pytestmark = pytest.mark.timeout(120)  # the first test boots a system, and each waits for systemd's own delays


class Unit:
    """A service that runs the real Ollama on a port of its own."""

    def __init__(self, booted: Booted, folder: Path, *scope: str, user: str | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.booted = booted
        self._scope = scope
        self._user = user
        self._executable = require(ollama).executable
        self._folder = folder
        copy_models(folder / "models")
        self.place = f"/home/{user}/.config/systemd/user/{UNIT}" if user else f"/etc/systemd/system/{UNIT}"

    def write(self, *more: str, port: int | None = None) -> None:
        """Write its file, and have systemd read it."""
        self.edit(*more, port=port)
        self.ctl("daemon-reload")

    def edit(self, *more: str, port: int | None = None) -> None:
        """Write its file, which systemd then does not know."""
        text = [
            "[Service]",
            f"ExecStart={self._executable} serve",
            f"Environment=HOME={self._folder} OLLAMA_MODELS={self._folder}/models KMP_AFFINITY=disabled",
            f"Environment=OLLAMA_HOST=127.0.0.1:{port or self.port}",
            *more,
        ]
        self.booted.write(self.place, "\n".join(text) + "\n")

    def ctl(self, *arguments: str) -> str:
        """What systemctl prints."""
        return self.booted.run(*self._as_user(), "systemctl", *self._scope, *arguments, user=self._user)

    def show(self, name: str) -> str:
        """One of its properties."""
        return self.ctl("show", "--value", "--property", name, UNIT).strip()

    def _as_user(self) -> list[str]:
        return ["env", f"XDG_RUNTIME_DIR=/run/user/{UID}"] if self._user else []

    def chat(self, mark: str) -> None:
        """Have Ollama print a line that holds `mark`."""
        call("GET", f"{self.url}/api/tags?mark={mark}")


@pytest.fixture
def unit(booted: Booted, tmp_path: Path) -> Iterator[Unit]:
    """A unit of the system that is written and stopped, and is gone afterwards."""
    made = Unit(booted, tmp_path)
    made.write()
    yield made
    booted.call("systemctl", "unmask", UNIT)
    booted.call("systemctl", "stop", UNIT)
    booted.call("sh", "-c", f"rm -rf {made.place} {made.place}.d")
    booted.call("systemctl", "daemon-reload")
    booted.call("systemctl", "reset-failed", UNIT)


def marks(lines: list[str]) -> list[str]:
    """The marks in the log, in order."""
    return [found[1] for line in lines if (found := re.search(r"mark=(\w+)", line))]


def test_a_unit_is_started_adopted_let_run_and_stopped(unit: Unit, tmp_path: Path) -> None:
    with Serviced(unit.booted, tmp_path, unit.url, owner=OWNER, stopOnTerminate=True) as sidecar:
        assert sidecar.until_state("stopped")["controlledBy"] == OWNER
        started = sidecar.ask("POST", "/api/ollama/start")
        assert started["success"], started
        assert started["pid"] == int(unit.show("MainPID"))
        status = sidecar.status()
        assert (status["state"], status["managedByApp"], status["running"]) == ("running", True, True)
    # Our end is not its end, though it would be that of one that we had started as a process: so Quit ends us too.
    assert unit.show("ActiveState") == "active"
    with Serviced(unit.booted, tmp_path, unit.url, owner=OWNER) as sidecar:
        status = sidecar.until_state("running")
        assert (status["pid"], status["managedByApp"]) == (started["pid"], True)
        assert sidecar.ask("POST", "/api/ollama/stop")["success"]
        assert unit.show("ActiveState") == "inactive"
        assert sidecar.status()["state"] == "stopped"


def test_what_a_unit_uses_is_that_of_all_its_processes(unit: Unit, tmp_path: Path) -> None:
    with Serviced(unit.booted, tmp_path, unit.url, owner=OWNER) as sidecar:
        assert sidecar.ask("POST", "/api/ollama/start")["success"]
        # Without a prompt, that only loads the model.
        call("POST", f"{unit.url}/api/generate", {"model": "tiny"}, timeout=60)
        group = f"/sys/fs/cgroup{unit.show('ControlGroup')}/cgroup.procs"

        def counted(answer: dict[str, Any]) -> bool:
            now = answer["instances"][0]["now"]
            return bool(now["runners"]) and now["processes"] == len(unit.booted.run("cat", group).split())

        now = sidecar.until("/api/ollama/metrics", counted)["instances"][0]["now"]
        assert now["processes"] >= 2
        assert now["memoryBytes"] > now["runners"][0]["memoryBytes"] > 1e6
        assert now["cpuSeconds"] > 0


def test_what_others_do_to_the_unit_is_seen(unit: Unit, tmp_path: Path) -> None:
    with Serviced(unit.booted, tmp_path, unit.url, owner=OWNER) as sidecar:
        unit.ctl("start", UNIT)
        first = sidecar.until_state("running")
        assert first["managedByApp"]
        unit.ctl("restart", UNIT)
        sidecar.until("/api/ollama/status", lambda now: now["state"] == "running" and now["pid"] != first["pid"])
        unit.ctl("stop", UNIT)
        stopped = sidecar.until_state("stopped")
        assert (stopped["wanted"], stopped["reason"]) == ("down", None)


def test_a_crash_that_systemd_mends_is_a_backoff_and_its_log_has_no_gap(unit: Unit, tmp_path: Path) -> None:
    unit.write("Restart=on-failure", "RestartSec=2")
    with Serviced(unit.booted, tmp_path, unit.url, owner=OWNER) as sidecar:
        sidecar.ask("POST", "/api/ollama/start")
        unit.chat("before")
        pid = sidecar.status()["pid"]
        unit.ctl("kill", "--signal=KILL", UNIT)
        assert "SIGKILL" in sidecar.until_state("backoff")["reason"]
        again = sidecar.until_state("running")
        assert again["pid"] not in (None, pid)
        assert again["restarts"] == 1
        sidecar.until("/api/ollama/status", lambda now: now["error"] is None)
        unit.chat("after")
        lines = sidecar.until("/api/ollama/logs?maxLines=5000", lambda now: "after" in marks(now["logs"]))["logs"]
        assert any(line.startswith("[SYS]") and "code=killed" in line for line in lines)
        # Neither a start of the sidecar nor a kill of it loses or doubles a line.
        sidecar.end(signal.Signals(9))
        unit.chat("unseen")
        with Serviced(unit.booted, tmp_path, unit.url, owner=OWNER) as later:
            later.until_state("running")
            unit.chat("last")
            lines = later.until("/api/ollama/logs?maxLines=5000", lambda now: "last" in marks(now["logs"]))["logs"]
            own = ("before", "after", "unseen", "last")
            assert [mark for mark in marks(lines) if mark in own] == [*own]
            assert not any("by=aura-ollama" in line for line in lines)


def test_a_stop_calls_off_a_restart_by_systemd(unit: Unit, tmp_path: Path) -> None:
    unit.write("Restart=always", "RestartSec=60")
    with Serviced(unit.booted, tmp_path, unit.url, owner=OWNER) as sidecar:
        sidecar.ask("POST", "/api/ollama/start")
        unit.ctl("kill", "--signal=KILL", UNIT)
        sidecar.until_state("backoff")
        assert sidecar.ask("POST", "/api/ollama/stop")["success"]
        assert sidecar.status()["state"] == "stopped"
        assert unit.show("ActiveState") == "inactive"
        # And a start does not wait for it.
        sidecar.ask("POST", "/api/ollama/start")
        unit.ctl("kill", "--signal=KILL", UNIT)
        sidecar.until_state("backoff")
        assert sidecar.ask("POST", "/api/ollama/start")["success"]
        assert sidecar.status()["state"] == "running"


def test_a_crash_that_systemd_does_not_mend_stays_one(unit: Unit, tmp_path: Path) -> None:
    with Serviced(unit.booted, tmp_path, unit.url, owner=OWNER, restartOnCrash=True) as sidecar:
        sidecar.ask("POST", "/api/ollama/start")
        unit.ctl("kill", "--signal=KILL", UNIT)
        assert "SIGKILL" in sidecar.until_state("failed")["reason"]
        assert unit.show("ActiveState") == "failed"
    unit.write("Restart=always", "RestartSec=0.1", "ExecStartPre=/bin/sh -c 'test ! -e /run/broken'")
    with Serviced(unit.booted, tmp_path, unit.url, owner=OWNER) as sidecar:
        assert sidecar.ask("POST", "/api/ollama/start")["success"]
        unit.booted.run("touch", "/run/broken")
        try:
            unit.ctl("kill", "--signal=KILL", UNIT)
            assert "systemd has given up" in sidecar.until_state("failed", 30)["reason"]
        finally:
            unit.booted.run("rm", "/run/broken")


@pytest.mark.parametrize(
    ("prepare", "words", "way_out"),
    [
        (["mask", UNIT], "is masked", "unmask"),
        (["missing"], "systemd has no", "list-unit-files"),
        (["broken"], "cannot use", "systemctl status"),
        (["elsewhere"], "listens at http://127.0.0.1:1", "systemctl edit ollama.service"),
    ],
)
def test_what_cannot_be_started_is_said_with_the_way_out(
    unit: Unit, tmp_path: Path, prepare: list[str], words: str, way_out: str
) -> None:
    if prepare == ["broken"]:
        unit.booted.write(unit.place, "[Service]\nType=simple\n")
        unit.ctl("daemon-reload")
    elif prepare == ["elsewhere"]:
        unit.write(port=1)
    else:
        unit.booted.run("rm", unit.place)
        unit.ctl("daemon-reload")
        if prepare != ["missing"]:
            unit.ctl(*prepare)
    with Serviced(unit.booted, tmp_path, unit.url, owner=OWNER) as sidecar:
        answer = sidecar.ask("POST", "/api/ollama/start")
        assert words in answer["detail"], answer
        assert way_out in answer["action"]
        assert sidecar.status()["state"] in ("stopped", "failed")
        doctor = [sys.executable, "-m", "cli", "doctor", "--json", "--data-dir", str(tmp_path)]
        found = json.loads(unit.booted.call("env", "-C", PROJECT, *doctor).stdout)
        code = "service_elsewhere" if prepare == ["elsewhere"] else "service_unusable"
        (told,) = [each for each in found["findings"] if each["code"] == code]
        assert found["broken"]
        assert words in told["message"]
        assert way_out in told["action"]
        # What was in its way is asked of systemd anew by the next start.
        unit.booted.call("systemctl", "unmask", UNIT)
        unit.write()
        mended = sidecar.ask("POST", "/api/ollama/start")
        assert mended["success"], mended


ODD = """\
# OLLAMA_HOST=commented
; OTHER=commented \\
CONTINUED=in the comment
PLAIN=127.0.0.1:1
BLANKS =  two words \t
SINGLE=' kept \\n '
DOUBLE=" kept \\"quoted\\" \\$HOME \\x "
MIXED=a'b c'"d"\\ e
JOINED='a' "b"  c "d"
LONG=one\\
two
LINES="one
two"
EMPTY=
no assignment
PLAIN=127.0.0.1:2
"""


def test_files_of_variables_are_read_as_systemd_reads_them(booted: Booted) -> None:
    booted.write("/etc/odd.env", ODD)
    shown = booted.run(
        *("systemd-run", "--wait", "--pipe", "--quiet", "--property=EnvironmentFile=/etc/odd.env"),
        *(sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"),
    )
    given = json.loads(shown)
    names = {"OLLAMA_HOST", "OTHER", *re.findall(r"^(\w+) *=", ODD, re.MULTILINE)}
    assert parse(ODD) == {name: given[name] for name in names if name in given}
    assert parse(ODD)["PLAIN"] == "127.0.0.1:2"


def test_where_it_listens_may_stand_in_a_file(unit: Unit, booted: Booted, tmp_path: Path) -> None:
    booted.write("/etc/ollama.env", f"OLLAMA_HOST=127.0.0.1:{unit.port}\n")
    unit.write("EnvironmentFile=-/etc/nowhere.env", "EnvironmentFile=/etc/ollama.env", port=1)
    with Serviced(booted, tmp_path, unit.url, owner=OWNER) as sidecar:
        assert sidecar.ask("POST", "/api/ollama/start")["success"]
        assert sidecar.until_state("running")["reason"] is None
        assert sidecar.ask("POST", "/api/ollama/stop")["success"]
        # A directory stands for what cannot be read: nothing is closed to root.
        booted.run("sh", "-c", "rm /etc/ollama.env && mkdir /etc/ollama.env")
        unit.ctl("daemon-reload")
        told = sidecar.until("/api/ollama/status", lambda now: now["reason"] is not None)
        assert "/etc/ollama.env, which cannot be read here" in told["reason"]
        booted.run("rmdir", "/etc/ollama.env")
        answer = sidecar.ask("POST", "/api/ollama/start")
        assert "takes variables from /etc/ollama.env, which is not there" in answer["detail"], answer


def test_a_unit_that_is_edited_meanwhile_is_told_of(unit: Unit, tmp_path: Path) -> None:
    with Serviced(unit.booted, tmp_path, unit.url, owner=OWNER) as sidecar:
        sidecar.ask("POST", "/api/ollama/start")
        assert sidecar.status()["reason"] is None
        time.sleep(1.1)  # systemd compares times of files by the second
        unit.edit("Nice=1")
        told = sidecar.until("/api/ollama/status", lambda now: now["reason"] is not None)
        assert "daemon-reload" in told["reason"]
        unit.ctl("daemon-reload")
        sidecar.until("/api/ollama/status", lambda now: now["reason"] is None)
        assert sidecar.ask("POST", "/api/ollama/restart")["success"]


def test_systemd_and_its_bus_may_begin_anew_meanwhile(unit: Unit, tmp_path: Path) -> None:
    unit.write("Restart=on-failure", "RestartSec=1")
    with Serviced(unit.booted, tmp_path, unit.url, owner=OWNER) as sidecar:
        pid = sidecar.ask("POST", "/api/ollama/start")["pid"]
        unit.ctl("daemon-reexec")
        assert sidecar.until_state("running")["pid"] == pid
        unit.ctl("kill", "--signal=KILL", UNIT)
        # Signals may be lost around a new beginning, and then only the count of restarts tells of the crash.
        sidecar.until("/api/ollama/status", lambda now: now["state"] == "running" and now["restarts"] == 1)
        # The bus hangs: nothing of ours does.
        bus = unit.booted.run("pgrep", "-x", "dbus-daemon").split()[0]
        unit.booted.run("kill", "-STOP", bus)
        try:
            told = sidecar.until("/api/ollama/status", lambda now: now["reason"] is not None, 40)
            assert "does not answer" in told["reason"]
            assert told["running"]
            assert "does not answer" in sidecar.ask("POST", "/api/ollama/stop")["detail"]
        finally:
            unit.booted.run("kill", "-CONT", bus)
        # It ends: a socket unit starts another one.
        unit.booted.run("kill", "-KILL", bus)
        unit.booted.call("systemctl", "restart", "dbus.socket", "dbus.service")
        sidecar.until_state("running", 30)
        stopped = sidecar.until(
            "/api/ollama/status",
            lambda now: now["state"] == "stopped" or sidecar.ask("POST", "/api/ollama/stop")["success"],
            40,
        )
        assert stopped
        assert unit.show("ActiveState") == "inactive"
        # It is gone, and nobody brings it back.
        unit.booted.call("systemctl", "stop", "dbus.socket", "dbus.service")
        try:
            told = sidecar.until("/api/ollama/status", lambda now: now["reason"] is not None)
            assert raw(told["reason"]) is None
            answer = sidecar.ask("POST", "/api/ollama/start")
            assert "Nobody listens on the system bus" in answer["message"]
            assert raw(answer["message"]) is None
        finally:
            unit.booted.call("systemctl", "start", "dbus.socket", "dbus.service")
    said = (tmp_path / "sidecar.out").read_text()
    assert "Traceback" not in said, said


def test_a_user_without_rights_is_refused_in_words_and_allowed_by_a_rule(
    unit: Unit, booted: Booted, tmp_path: Path
) -> None:
    rule = "/etc/polkit-1/rules.d/10-ada.rules"
    with adas(booted, tmp_path, unit.url) as sidecar:
        unit.ctl("start", UNIT)
        sidecar.until_state("running")
        told = sidecar.until("/api/ollama/status", lambda now: now["reason"] is not None)
        assert "systemd-journal" in told["reason"]
        # A real polkitd, and nobody whom it could ask.
        answer = sidecar.ask("POST", "/api/ollama/stop")
        assert "administrator" in answer["detail"], answer
        assert "polkit" in answer["action"]
        assert unit.show("ActiveState") == "active"
        booted.write(rule, RULE)
        booted.run("systemctl", "restart", "polkit.service")
        try:
            assert sidecar.ask("POST", "/api/ollama/stop")["success"]
            assert unit.show("ActiveState") == "inactive"
            assert sidecar.ask("POST", "/api/ollama/start")["success"]
            assert unit.show("ActiveState") == "active"
        finally:
            booted.run("rm", rule)
            booted.run("systemctl", "restart", "polkit.service")


def test_polkit_may_ask_for_a_password_meanwhile(unit: Unit, booted: Booted, tmp_path: Path) -> None:
    booted.run("sh", "-c", "echo root:sesame | chpasswd")
    with adas(booted, tmp_path, unit.url) as sidecar:
        sidecar.until_state("stopped")
        (pid,) = booted.run("pgrep", "-f", f"[-]m api --data-dir {sidecar.paths.root}$").split()
        # It asks on a terminal, as a desktop does in a window.
        command = booted.command("script", "-qfec", f"pkttyagent --process {pid}", "/dev/null")
        agent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert agent.stdin
        assert agent.stdout
        try:
            deadline = time.monotonic() + 20
            while f"unix-process:{pid}:" not in booted.run("journalctl", "--unit=polkit", "--output=cat"):
                assert time.monotonic() < deadline
            with ThreadPoolExecutor() as threads:
                starting = threads.submit(sidecar.ask, "POST", "/api/ollama/start")
                said = b""
                while b"assword:" not in said:
                    said += (part := os.read(agent.stdout.fileno(), 4096))
                    assert part, said
                assert b"required to start 'ollama.service'" in said
                assert unit.show("ActiveState") == "inactive"
                agent.stdin.write(b"sesame\n")
                agent.stdin.flush()
                assert starting.result()["success"]
            assert unit.show("ActiveState") == "active"
        finally:
            booted.call("pkill", "-x", "pkttyagent")
            agent.communicate(timeout=10)


def test_a_service_of_the_users_own_systemd(booted: Booted, tmp_path: Path) -> None:
    ada(booted)
    unit = Unit(booted, tmp_path / "ollama", "--user", user=USER)
    sidecar = adas(booted, tmp_path, unit.url, f"systemd-user:{UNIT}")
    booted.run("chown", "-R", USER, tmp_path / "ollama")
    unit.write("Restart=always", "RestartSec=1")
    booted.run("chown", "-R", USER, f"/home/{USER}/.config")
    unit.ctl("daemon-reload")
    with sidecar:
        assert sidecar.until_state("stopped")
        assert sidecar.ask("POST", "/api/ollama/start")["success"]
        # The journal had no line of this unit when following began.
        unit.chat("first")
        lines = sidecar.until("/api/ollama/logs?maxLines=5000", lambda now: "first" in marks(now["logs"]))["logs"]
        assert any("Listening on" in line for line in lines)
        unit.ctl("kill", "--signal=KILL", UNIT)
        sidecar.until_state("backoff")
        sidecar.until("/api/ollama/status", lambda now: now["running"])
        unit.chat("again")
        sidecar.until("/api/ollama/logs?maxLines=5000", lambda now: "again" in marks(now["logs"]))
        usage = sidecar.until("/api/ollama/metrics", lambda answer: answer["instances"][0]["now"]["processes"])
        assert usage["instances"][0]["now"]["memoryBytes"] > 1e6, usage
        # Quit leaves it.
    assert unit.show("ActiveState") == "active"
    # Where journald keeps all in memory there is no journal of her own.
    booted.write("/etc/systemd/journald.conf.d/memory.conf", "[Journal]\nStorage=volatile\n")
    booted.run("sh", "-c", "rm -rf /var/log/journal/*")
    booted.run("systemctl", "restart", "systemd-journald.service")
    try:
        with sidecar:
            sidecar.until_state("running")
            told = sidecar.until("/api/ollama/status", lambda now: now["reason"] is not None)
            assert "systemd-journal" in told["reason"]
        booted.run("usermod", "--append", "--groups", "systemd-journal", USER)
        with sidecar:
            sidecar.until_state("running")
            unit.chat("memory")
            sidecar.until("/api/ollama/logs?maxLines=5000", lambda now: "memory" in marks(now["logs"]))
            sidecar.until("/api/ollama/status", lambda now: now["reason"] is None)
            assert sidecar.ask("POST", "/api/ollama/stop")["success"]
            assert unit.show("ActiveState") == "inactive"
    finally:
        booted.run("gpasswd", "--delete", USER, "systemd-journal")
        booted.run("rm", "/etc/systemd/journald.conf.d/memory.conf")
        booted.run("systemctl", "restart", "systemd-journald.service")
        booted.run("journalctl", "--flush")


def test_lines_of_an_earlier_boot_are_copied_too(unit: Unit, booted: Booted, tmp_path: Path) -> None:
    """Another id of the boot stands for a boot: journald, started again, gives it to all lines from then on."""
    place = "/proc/sys/kernel/random/boot_id"
    booted.write("/run/next-boot", f"{uuid.uuid4()}\n")
    unit.ctl("start", UNIT)
    with Serviced(booted, tmp_path, unit.url, owner=OWNER) as sidecar:
        unit.chat("seen")
        sidecar.until("/api/ollama/logs?maxLines=5000", lambda now: "seen" in marks(now["logs"]))
    unit.chat("unseen")
    booted.run("journalctl", "--sync")
    # What is mounted there by systemd-nspawn is a file that is gone, over which nothing can be mounted.
    booted.call("umount", place)
    booted.run("mount", "--bind", "/run/next-boot", place)
    try:
        booted.run("systemctl", "restart", "systemd-journald.service")
        unit.ctl("restart", UNIT)
        sidecar, lines = Serviced(booted, tmp_path, unit.url, owner=OWNER), []
        for marked in ("later", "last"):
            with sidecar:
                sidecar.until("/api/ollama/status", lambda now: now["running"])
                unit.chat(marked)
                lines = sidecar.until(
                    "/api/ollama/logs?maxLines=5000", lambda now, marked=marked: marked in marks(now["logs"])
                )["logs"]
        assert marks(lines) == ["seen", "unseen", "later", "last"]
        assert sum("Listening on" in line for line in lines) == 2
    finally:
        booted.run("umount", place)
        booted.run("systemctl", "restart", "systemd-journald.service")


def test_what_the_settings_name_no_longer_is_let_go_and_offered(unit: Unit, tmp_path: Path) -> None:
    unit.ctl("start", UNIT)
    with Serviced(unit.booted, tmp_path, unit.url) as sidecar:
        external = sidecar.until("/api/ollama/status", lambda now: now["offer"] is not None)
        assert (external["offer"], external["managedByApp"]) == (OWNER, False)

        def change(**changes: object) -> dict[str, Any]:
            answer = sidecar.ask("PUT", "/api/ollama/settings", {"changes": changes})
            assert "settings" in answer, answer
            return sidecar.status()

        controlled = change(owner=OWNER)
        assert (controlled["state"], controlled["managedByApp"], controlled["offer"]) == ("running", True, None)
        external = change(owner=None)
        assert (external["controlledBy"], external["wanted"]) == ("process", "down")
        assert (external["state"], external["offer"]) == ("external", OWNER)
        assert "systemctl stop" in external["action"]
        assert not sidecar.ask("POST", "/api/ollama/stop")["success"]
        assert unit.show("ActiveState") == "active"
        # The call that follows meets the owner that is named, whoever names it.
        sidecar.ask("PUT", "/api/ollama/settings", {"changes": {"owner": OWNER}})
        stopped = sidecar.ask("POST", "/api/ollama/stop")
        assert stopped["success"], stopped
        sidecar.configure(owner="process")
        unit.ctl("start", UNIT)
        sidecar.until_state("external")
        sidecar.configure(owner=OWNER)
        stopped = sidecar.ask("POST", "/api/ollama/stop")
        assert stopped["success"], stopped
        assert unit.show("ActiveState") == "inactive"
        # And so does an owner that is in force when the address is changed.
        assert change(ollamaUrl="http://127.0.0.1:1")["state"] == "stopped"
        told = sidecar.until("/api/ollama/status", lambda now: now["reason"] is not None)
        assert f"{UNIT} listens at {unit.url}, but ollamaUrl is http://127.0.0.1:1." in told["reason"]
        change(ollamaUrl=unit.url)
        sidecar.until("/api/ollama/status", lambda now: now["reason"] is None)


def adas(booted: Booted, tmp_path: Path, url: str, owner: str = OWNER) -> Serviced:
    """A sidecar of that user's."""
    ada(booted)
    root = tmp_path / "ada"
    root.mkdir()
    booted.run("chmod", "a+x", *tmp_path.parents[:-2], tmp_path)
    sidecar = Serviced(booted, root, url, user=USER, owner=owner)
    booted.run("chown", "-R", USER, root)
    return sidecar


def ada(booted: Booted) -> None:
    """Have that user, with a systemd of her own."""
    if booted.call("id", USER).returncode != 0:
        booted.user_manager(USER, UID)
    cache = require(ollama).executable
    for folder in [*cache.parents][:-1]:
        booted.call("chmod", "a+x", folder)
