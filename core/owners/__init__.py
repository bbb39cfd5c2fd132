"""The ways in which an Ollama is run and controlled by us.

- `protocol` says what an owner has to do, and where to begin when another is to be written.
- `kinds.Owners` makes an owner from its text in the settings.
- `process_owner.ProcessOwner` is the default: a process with a shim of its own. `shim_start` starts a shim,
  `adopt` takes over those that an earlier sidecar left, `process.Managed` is a live one, `bundle` what it runs from.
- `run_record.RunRecord` is what a shim wrote about its Ollama; `exit.Exit` is how it ended.
- `systemd` and its neighbours are for what others run; `copied.LogCopy` copies what these print.
- `logs.logs_of` gives what an instance prints.
"""
