"""The processes in a control group of Linux. Not part of `core.platform` itself, which the shim imports."""

from __future__ import annotations

from pathlib import Path

import psutil

_ROOT = Path("/sys/fs/cgroup")


def members(group: str) -> tuple[int, ...]:
    """The pids in a control group and those below it; none if there is no such group. `group` as in cgroup(7): `/a/b`.

    Blocks: call it in a thread. Where the files of control groups are not to be had, each process is asked for its own.
    """
    if not group.strip("/"):
        return ()
    # Version 2, also beside version 1, whose hierarchy of systemd is the last.
    for root in (_ROOT, _ROOT / "unified", _ROOT / "systemd"):
        folder = root / group.lstrip("/")
        if not (folder / "cgroup.procs").is_file():
            continue
        found: list[int] = []
        for file in [folder / "cgroup.procs", *folder.rglob("*/cgroup.procs")]:
            try:
                found += [int(line) for line in file.read_text().split()]
            except OSError:
                # That group has gone meanwhile.
                continue
        return tuple(found)
    return tuple(pid for pid in psutil.pids() if _is_in(group, pid))


def _is_in(group: str, pid: int) -> bool:
    try:
        rows = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="backslashreplace").splitlines()
    except OSError:
        return False
    paths = (row.split(":", 2)[-1] for row in rows)
    return any(path == group or path.startswith(group + "/") for path in paths)
