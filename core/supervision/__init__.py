"""What each Ollama is wished to be and what it is: the states, the one writer of them, and the start as a procedure.

- `fleet.Fleet`: a `Supervisor` for each `instance.Instance` that the settings name.
- `supervisor.Supervisor`: wishes, the status, subscriptions. All that `api` and `tray` use to act.
- `state`: `State`, `Wish`, `Status` and the legal moves. `machine` alone writes a `Status`.
- `attempt`: a start, from the wish to its result. `preflight`: whether and how an Ollama may be started. `readiness`:
  when one that was started is ready.
- `observer`, `interpret`: what is outside, and what that means for the status. `poller`, `refresher`: when to observe.
- `stop_signals`: which signals end the program.
"""
