"""Tests of `core.metrics`."""
