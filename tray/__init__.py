"""The tray: a view of `Status`. Knows `core`, never `api`; only `tray.__main__` wires the two."""
