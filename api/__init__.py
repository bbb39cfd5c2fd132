"""The REST sidecar: parses, asks core, serialises. Knows `core`, never `tray`.

- `server.sidecar`: the socket, and one instance per data folder. `app.build`: the middlewares, in order.
- `access`: who may call. `http`: connections, headers, bodies. `routes`, `schemas`: calls and their JSON, by resource.
- `errors`: the HTTP status of each error. `openapi`: the description of all calls. `hooks`: what the tray is asked for.
"""
