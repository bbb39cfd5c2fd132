"""What the program itself prints and logs. Nothing waits for it: neither for a pipe nor for a disk.

- `console.detach`: stdout and stderr whose writes return at once.
- `sidecar_log.configure`: our own log, `AuraData/logs/sidecar.log`.
"""
