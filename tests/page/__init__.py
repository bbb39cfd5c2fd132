"""The page at `/`, used in a real browser as a person uses it."""
