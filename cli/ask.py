"""A question to the person at the terminal."""

from __future__ import annotations

import sys

from cli import output


def can_ask() -> bool:
    """Whether somebody sees a question and can answer it: both standard streams are a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and output.is_terminal()


def confirmed(question: str, *, otherwise: bool) -> bool:
    """Whether the answer begins with y; `otherwise` if it is empty, or the input ends. Raises KeyboardInterrupt."""
    output.text(f"{question} [{'Y/n' if otherwise else 'y/N'}] ")
    answer = sys.stdin.readline().strip().lower()
    return answer.startswith("y") if answer else otherwise
