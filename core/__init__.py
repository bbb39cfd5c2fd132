"""Process truth for one Ollama: detect, spawn, supervise, stop, log. Knows neither `api` nor `tray`."""

__version__ = "0.1.0"
