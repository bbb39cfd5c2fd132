"""An Ollama seen from outside: its HTTP API, whose process listens at its address, and which executable it is.

- `client.Client` calls one server; `models` has what it tells of its models; `probe.probe` says who answers.
- `listener.find_listener` names the holder of a port; `tcp_probe` only tries the port.
- `model_name.ModelName` is the name of a model, by Ollama's grammar; `check_registry` says whether it may be pulled.
- `executable.Locator` finds the executable; `program.why_not` says why one cannot be run.
- `activity`: whether an Ollama prints, and whether it is at work.
"""
