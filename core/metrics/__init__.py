"""What each Ollama costs and how it answers: samples, request counts, the canary, and the texts that Prometheus reads.

- `meters.Meters`: samples every instance and the graphics processors, and gives snapshots to `api`.
- `instance`: one Ollama's newest sample, its ten minutes of `history`, and its counts.
- `tree`, `weights`: what its processes take, and which model each runner has.
- `gin`, `requests`, `log_count`: Ollama's own log lines, counted by route and status.
- `lifecycle`: starts and crashes, counted. `canary`: asks for a token now and then, to see whether answers still come.
- `exposition.text_of`: a snapshot as the text that Prometheus reads.
"""
