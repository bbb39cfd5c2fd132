"""The ways in which an Ollama is run and controlled by us. The one that there is: a process with a shim of its own.

- `spawn.spawn` starts a shim with its Ollama, `adopt.adopt` takes over those that an earlier sidecar left.
- `process.Managed` is a live one: hear of its end, stop it, ask whether a process is its.
- `run_record.RunRecord` is what a shim wrote about it; `exit.Exit` is how it ended.
"""
