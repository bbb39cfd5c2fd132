"""The log of a managed Ollama: its format, its files, its lines. Standard library only, since the shim writes it.

- `segments`: the files of a start, their names, order and limits; `line_prefix` is the format of a line's stamp.
- `lines`, `redact`, `own_calls`: from a program's bytes to lines that may be shown; what is taken out of them.
- `tail`, `follow`: reading the last lines, and reading on as lines are written.
- `failure_cause`: which line tells why a program ended.
"""
