"""HTTP below the routes: connections and who is cut off, what each answer bears, bodies, parameters and streams."""
