"""The models that Aura recommends for its scripts, by its own list. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_GIGABYTE = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Recommended:
    """A model to pull. `size_bytes` is roughly what the pull takes, `size` the same as Ollama's library says it."""

    name: str
    display_name: str
    description: str
    size: str
    size_bytes: int
    is_recommended: bool


RECOMMENDED = (
    Recommended(
        "llama3.2:3b", "Llama 3.2 (3B)", "Small and quick, good for short scripts.", "2.0 GB", 2 * _GIGABYTE, True
    ),
    Recommended(
        "llama3.1:8b",
        "Llama 3.1 (8B)",
        "The best balance of quality and speed for most machines.",
        "4.7 GB",
        47 * _GIGABYTE // 10,
        True,
    ),
    Recommended(
        "mistral:7b", "Mistral (7B)", "Strong at creative and narrative texts.", "4.1 GB", 41 * _GIGABYTE // 10, True
    ),
    Recommended(
        "llama3.1:70b",
        "Llama 3.1 (70B)",
        "The best quality; needs a graphics card with much memory.",
        "40 GB",
        40 * _GIGABYTE,
        False,
    ),
)
