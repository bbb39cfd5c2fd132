"""The small process that owns one Ollama. Standard library only: every line costs each of them memory."""
