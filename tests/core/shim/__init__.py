"""Tests of `core.shim`."""
