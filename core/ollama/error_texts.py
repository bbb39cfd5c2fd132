"""The texts by which the Aura app recognises a failed probe. The third one is `HTTP {code}`."""

from __future__ import annotations

NOT_REACHABLE = "Not reachable"
TIMED_OUT = "Connection timeout"
