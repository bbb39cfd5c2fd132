"""Tests of `core.threads`."""
