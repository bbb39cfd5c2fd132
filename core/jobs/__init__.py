"""What takes long and goes on by itself: pulls of models, each a job that the sidecar owns.

- `jobs.Jobs`: ask for a pull, watch it, cancel it. All that `api` and `tray` use.
- `job.Job`: a frozen snapshot of one; `texts.progress` tells in words how far it is.
- `attempt`: one download, as Ollama carries it out; `progress` adds up what it prints; `disk_room` is checked first.
- `listing`: what is listed, and who is told of each change.
- `store`, `job_file`: `run/jobs.json`, by which jobs live through a restart of the sidecar.
"""
