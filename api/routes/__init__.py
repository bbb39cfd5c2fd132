"""What each call does: parse, ask core, answer. `calls` has the table of all of them; `streams` those without end."""
