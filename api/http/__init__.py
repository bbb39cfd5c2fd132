"""HTTP below the routes, nothing of Ollama: connections and their limits, headers, bodies, parameters, streams.

- `pool.ConnectionPool`: all connections; decides which `connection.Connection` is closed so that the others are served.
- `headers.on_prepare`: what every answer has. `streams.Streams`: server-sent events.
- `body.encoded`, `parameters`, `expect`, `call_log`: bytes of an answer, query parameters, `Expect`, our log of calls.
"""
