"""The small process that owns one Ollama. Standard library only: every line costs each of them memory.

- `main`: a shim, from its spec to its final record. `__main__` is where a frozen program enters.
- `pump`, `writer`: from Ollama's pipes to a queue, and from there to the log. `LogWriter.write` stamps each line.
- `spec`, `record`: what the sidecar tells a shim, and what a shim tells the sidecar. The sidecar imports only these.
- `spool`, `successor`: how the guard, a fork of the shim, continues the log of a killed one.
"""
