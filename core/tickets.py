"""Tickets: what is shown once in place of the token, by a page that this user's own program opens.

An address that is handed to a browser is seen by every user of the machine, in the list of processes, and stays in the
browser's history. So it never holds the token. It holds a ticket, which is good for one time and one minute, and which
the sidecar changes for the token only for this user's programs.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

SECONDS = 60.0
"""How long a ticket is good: a browser may have to start first."""
_MOST = 16


class Tickets:
    """The tickets of one sidecar that are not used yet. Belongs to the loop."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._until: dict[str, float] = {}

    def issue(self) -> str:
        """A new ticket of 32 characters that an address can hold. Of more than 16 unused ones the oldest is void."""
        self._drop_old()
        while len(self._until) >= _MOST:
            del self._until[next(iter(self._until))]
        ticket = secrets.token_urlsafe(24)
        self._until[ticket] = self._now() + SECONDS
        return ticket

    def take(self, ticket: str) -> bool:
        """Whether this ticket is good; from now on it is not."""
        self._drop_old()
        # Each ticket is random and good for one try, so the time that the look-up takes tells nothing of use.
        return self._until.pop(ticket, None) is not None

    def _drop_old(self) -> None:
        now = self._now()
        self._until = {ticket: until for ticket, until in self._until.items() if until > now}
