"""Tests of `core.logs`."""
