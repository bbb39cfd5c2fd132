"""Tests of `api`, over real HTTP."""
