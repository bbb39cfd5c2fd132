"""One module a command: `add_options(parser)` and `run(options)`, which returns the exit code.

A module is imported only if its command is run, so it may import what it needs. `status` may not: it is to be fast.
"""
