"""Who may call: `checks.Guard` is asked before any route is. `throttle` counts wrong tokens."""
