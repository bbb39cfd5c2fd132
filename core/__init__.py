"""Detects, starts, watches and stops Ollama, and keeps its log. Knows neither `api` nor `tray`.

`sidecar.Sidecar` is what they are given. `docs/architecture.md` names the rooms, in the order in which they may import.
"""

__version__ = "0.1.0"
