"""The command line, run as people run it: a process of its own, against a real sidecar and a real Ollama."""
