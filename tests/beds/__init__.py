"""Real parts for tests: programs and models that the product must work with, built once and kept in a cache.

Each bed is a function that returns what it built, or raises `BedMissing` where this machine cannot have it.
`python -m tests.beds --help` shows what can be run by hand.
"""

from __future__ import annotations


class BedMissing(Exception):
    """This machine cannot have the bed; the message says what is missing and how to get it."""
