"""Tests of `core.platform`."""
