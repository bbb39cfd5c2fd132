"""An Ollama seen from outside: its HTTP API, the process that listens at its address, and its executable.

- `client.Client` calls one server; `models` has the types and the parsing of its lists of models.
- `probe.probe` tells whether an Ollama answers at an address; `tcp_probe` tests a port by a bare connect.
- `listener.find_listener` names the process that holds a port.
- `model_name.ModelName` is the name of a model, by Ollama's grammar; `check_registry` says whether it may be pulled.
- `executable.Locator` finds the executable; `program.why_not` says why the system cannot run one.
- `activity`: whether an Ollama prints, and whether it computes.
"""
