"""Faults on purpose, against real processes: kills, hangs, full disks, torn files, stepped clocks, races.

What must hold after each is in `invariants`. Everything random comes from `--chaos-seed`, which a failure prints.
"""
