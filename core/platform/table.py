"""One row of the process table, as `linux` and `darwin` both report it."""

from __future__ import annotations


class Process:
    """Who a live process is, whose child, and in which session."""

    __slots__ = ("birth", "pid", "ppid", "session")

    def __init__(self, pid: int, ppid: int, session: int, birth: str) -> None:
        self.pid = pid
        self.ppid = ppid
        self.session = session
        self.birth = birth
