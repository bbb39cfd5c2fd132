"""Tests of `core.ollama`."""
