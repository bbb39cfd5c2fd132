"""Who may call: `checks.AccessCheck` runs before every route. `throttle` counts wrong tokens."""
