"""What one Ollama is wished to be and what it is: the states, the one writer of them, and the start as a procedure.

- `supervisor.Supervisor`: wishes, the status, subscriptions. All that `api` and `tray` use to act.
- `state`: `State`, `Wish`, `Status` and the legal moves. `machine` alone writes a `Status`.
- `preflight`: whether and how an Ollama may be started. `stop_signals`: which signals end the program.
"""
