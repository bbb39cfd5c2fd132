"""A discrete-event simulation of one balancer before many Ollamas, and the queueing formulas that it is checked with.

`python -m bench.fleet` prints the tables of `docs/scale.md`. `simulate.simulate` runs one case; the formulas are in
`paper`.
"""
