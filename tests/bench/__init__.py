"""Tests of what is in `bench/` and more than a measurement."""
