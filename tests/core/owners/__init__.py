"""Tests of `core.owners`."""
