"""What each Ollama costs and how it answers: samples, request counts, the canary, and the texts that Prometheus reads.

- `gin`, `requests`: Ollama's own log lines, counted. Pure.
"""
