"""The log of a managed Ollama: its format, its files, its lines. Standard library only, since the shim writes it."""
