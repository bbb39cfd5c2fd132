"""The owners `systemd:UNIT` and `systemd-user:UNIT`: a service that systemd runs, controlled over its D-Bus.

- `bus`: one connection, calls with deadlines, and what goes wrong in words.
- `environment`: the variables in the files that a unit names.
- `unit`: what systemd says of the unit, and what that means.
- `watch`: the newest state of the unit, by its signals.
- `journal`: copies what the unit prints from the journal into the instance's log.
- `service`, `owner`: the `Running` and the `Owner` of `core.owners.protocol`.

Interfaces of systemd: https://www.freedesktop.org/software/systemd/man/latest/org.freedesktop.systemd1.html
"""
