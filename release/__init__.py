"""Portable builds of the program: `python -m release --out DIR`."""
