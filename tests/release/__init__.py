"""Tests of `release`: the program as PyInstaller freezes it, for the system that they run on."""
