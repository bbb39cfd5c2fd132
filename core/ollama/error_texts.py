"""What a probe met, in the words that the Aura app knows; the third is `HTTP {code}`."""

from __future__ import annotations

NOT_REACHABLE = "Not reachable"
TIMED_OUT = "Connection timeout"
