"""What the program itself prints and logs. No caller waits for a pipe or a disk.

- `console.detach`: replace stdout and stderr by streams whose writes return at once.
- `sidecar_log.configure`: our own log, `AuraData/logs/sidecar.log`.
- `outlet.Outlet`: the bounded queue and thread behind both.
"""
