"""The command line: `aura-ollama COMMAND`. Speaks REST to the sidecar that runs, and knows neither `api` nor `tray`.

- `table.COMMANDS`: all commands; one command is one module of `commands/`, imported only if it is the one.
- `program.run`: one command from its arguments to its exit code; `exits` lists these.
- `client.Client`: the sidecar's REST API, found by the note in the data folder.
- `output`: all that is printed, for people and for programs; `words` puts sizes, times and states in words.

`__main__` is the console entry point. It alone sees `cli` and `tray`, and only wires them. What runs at each call must
be cheap: no aiohttp, no msgspec, and rich only where a terminal needs it.
"""
