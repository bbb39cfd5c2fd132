"""The tray: a view of `Status`. Knows `core`, never `api`; only `tray.__main__` wires the two.

- `app.App`: follows the status and carries out commands, on the loop. `places`, `models`, `pulls` and `preferences` do
  what it is told; `toasts` says which news are worth one.
- `menu`: from what is known to what is shown, pure. `screen`: the icon, on the UI's thread. `program`: what is around.
"""
