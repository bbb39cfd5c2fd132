"""What each call does: parse, ask core, answer. One module per resource; `table.Routes` lists all of them.

A new route is a handler in the module of its resource, described with `@answers` and named in that module's `table`.
`log_tail`, `model_list` and `event_frames` make answers that take more than a line.
"""
