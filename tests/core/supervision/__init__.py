"""Tests of `core.supervision`."""
