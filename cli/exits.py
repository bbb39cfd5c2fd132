"""The exit codes of `aura-ollama`, which the README lists."""

from __future__ import annotations

from core import interrupt

DONE = 0
FAILED = 1
"""The sidecar refused, or something went wrong: the words are on stderr."""
USAGE = 2
"""The command line is not understood; argparse's own code."""
NO_SIDECAR = 3
NOT_RUNNING = 4
"""Of `status` alone: the sidecar answers, and no Ollama runs."""
INTERRUPTED = interrupt.INTERRUPTED
"""By Ctrl-C."""
