"""Tests of `core`, one module each."""
