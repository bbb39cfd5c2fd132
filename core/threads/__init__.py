"""Blocking work that may hang for ever: each piece has a daemon thread of its own, and every caller has a deadline.

- `single_flight.within`, `single_flight.SingleFlight`: such work, awaited on a loop.
- `single_flight.run`: run a loop whose end waits for no thread that hangs.
"""
