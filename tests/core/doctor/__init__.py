"""Tests of `core.doctor`: each fault made for real."""
