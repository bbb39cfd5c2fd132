"""Tests of `tray`: its pure part, and the real program on a desktop without a person."""
