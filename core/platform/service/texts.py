"""The entries by which each system's service manager runs us: a systemd unit, a launch agent, a logon task. Pure.

For this room only, whose modules know where each entry is kept. Every command begins with an absolute path. A command
that an entry cannot hold is a ValueError, whose text is a sentence with the way out.
"""

from __future__ import annotations

import plistlib
import subprocess
from collections.abc import Sequence
from xml.sax.saxutils import escape

from core.platform.service.mark import marked

UNIT = "aura-ollama.service"
AGENT = "studio.aura.ollama.sidecar"
"""Not the label of the agent that shows the tray at login."""
TASK = "Aura Ollama"
_DESCRIPTION = "Starts, watches and stops Ollama for Aura Video Studio"
_MARK = "{mark}: written by `aura-ollama service install`, which replaces it, and removed by `… uninstall`"

# For each directive its reason. What needs a mount or user namespace (ProtectSystem=, PrivateTmp=, PrivateDevices= and
# others, systemd.exec(5)) is left out: a user's manager gets these by PrivateUsers=, which makes root's files look like
# nobody's, and settings that nobody owns are refused. Graphics drivers compile at run time, which
# MemoryDenyWriteExecute= forbids, and need devices and kernel interfaces that differ by maker, which leaves no list of
# system calls to allow.
_UNIT = f"""\
# {_MARK}
# Put changes of your own into a drop-in, which stays: systemctl --user edit {UNIT}
[Unit]
Description=Aura Ollama, without a tray
# One that fails at once (a port that is taken, settings that will not do) fails again: after 5 times in 5 minutes a
# person has to look.
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=notify
# Only the sidecar speaks for itself, and no Ollama that it starts.
NotifyAccess=main
ExecStart=@command@
Restart=on-failure
RestartSec=2
# The sidecar calls itself three times as often, and tells the manager only if it got an answer.
WatchdogSec=30
TimeoutStartSec=60
# The sidecar ends within 10 s whatever hangs, since Ollama stays.
TimeoutStopSec=20
TimeoutAbortSec=5
# Ollama, its shim and its runners live on when the sidecar stops or is replaced; the next one adopts them.
KillMode=process
# A runner that takes too much memory is no reason to stop the others.
OOMPolicy=continue
# A core file would hold the token, and what is in Ollama's memory.
LimitCORE=0
# Neither the sidecar nor Ollama gains rights by a program that it starts.
NoNewPrivileges=yes
RestrictSUIDSGID=yes
# HTTP, D-Bus, container engines, and the kernel's tables of sockets (netlink); nothing speaks raw packets.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
# Nobody here makes containers by himself; they are the engine's.
RestrictNamespaces=yes
# Real-time scheduling could starve the desktop.
RestrictRealtime=yes
# No other processor's or ancient interfaces of the kernel.
SystemCallArchitectures=native
LockPersonality=yes
# What an ordinary user may not do anyhow, and what attacks on the kernel begin with.
SystemCallFilter=~@clock @cpu-emulation @module @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM

[Install]
WantedBy=default.target
"""

_TASK = """\
<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Source>{mark}</Source>
    <Description>{description}</Description>
  </RegistrationInfo>
  <Triggers>
    <LogonTrigger>
      <Enabled>true</Enabled>
      <UserId>{user}</UserId>
    </LogonTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>{user}</UserId>
      <LogonType>InteractiveToken</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <AllowHardTerminate>true</AllowHardTerminate>
    <StartWhenAvailable>true</StartWhenAvailable>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Priority>5</Priority>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>5</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{program}</Command>
      <Arguments>{arguments}</Arguments>
    </Exec>
  </Actions>
</Task>
"""
# systemd takes no program whose path has one of these; as an argument of `sh` it may.
_UNSAFE = frozenset("\"'\\")
_THROUGH_SHELL = ["/bin/sh", "-c", 'exec "$0" "$@"']
TASK_SOURCE = "aura-ollama service"


def systemd_unit(command: Sequence[str]) -> str:
    """A user unit, by systemd.service(5) and systemd.exec(5) of version 247 and later."""
    words = _printable(command)
    if not _UNSAFE.isdisjoint(words[0]):
        words = [*_THROUGH_SHELL, *words]
    # The colon has systemd leave dollar signs alone. Specifiers begin with a percent sign, also within quotes.
    line = ":" + " ".join(map(_quoted, words))
    return marked(_UNIT.replace("@command@", line), f"# {_MARK}\n")


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def launch_agent(command: Sequence[str], log: str) -> str:
    """A launch agent, by launchd.plist(5). `log` is the file that gets what the program prints."""
    content = plistlib.dumps(
        {
            "Label": AGENT,
            "ProgramArguments": _printable(command),
            "RunAtLoad": True,
            # Ended by a signal or with an error, it is started again, not more often than each 10 s.
            "KeepAlive": {"SuccessfulExit": False},
            # Ollama lives on when the sidecar stops or is replaced; the next one adopts it.
            "AbandonProcessGroup": True,
            # Background processes, and what they start, get less of the processor and the disk.
            "ProcessType": "Interactive",
            "StandardOutPath": log,
            "StandardErrorPath": log,
        }
    ).decode()
    comment = f"<!-- {_MARK} -->\n"
    return marked(content.replace("<dict>\n", comment + "<dict>\n", 1), comment)


def logon_task(command: Sequence[str], user: str) -> str:
    """A task of the Task Scheduler that runs at `user`'s logon (`DOMAIN\\name`), by its schema, version 1.2.

    On batteries too, without the limit of three days, and with ordinary priority: by default a task has each of these
    otherwise, and Ollama inherits the priority.
    """
    program, *arguments = _printable(command)
    return _TASK.format(
        mark=TASK_SOURCE,
        description=_DESCRIPTION,
        user=escape(user),
        program=escape(program),
        arguments=escape(subprocess.list2cmdline(arguments)),
    )


def _printable(command: Sequence[str]) -> list[str]:
    for word in command:
        if not word.isprintable():
            raise ValueError(
                f"No service can be started with {word!r} in its command. Rename the folder that has such a name, "
                "and try again."
            )
    return list(command)
