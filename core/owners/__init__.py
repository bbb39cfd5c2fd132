"""The ways in which an Ollama is run and controlled by us.

- `protocol` says what an owner has to do, and where to begin when another is to be written.
- `process_owner.ProcessOwner` is the only one so far: a process with a shim of its own. `shim_start` starts a shim,
  `adopt` takes over those that an earlier sidecar left, `process.Managed` is a live one, `bundle` what it runs from.
- `run_record.RunRecord` is what a shim wrote about its Ollama; `exit.Exit` is how it ended.
- `logs.logs_of` gives what an instance prints.
"""
