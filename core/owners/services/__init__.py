"""Owners that ask a service manager now and then, since it tells nobody of what happens: launchd, and Windows' own.

- `manager.Manager` is what such a manager has to do; `launchd` and `windows` are the two.
- `owner.ServiceOwner` is the owner of one service, `run.ServiceRun` one run of it.
- `copy.FileCopy` copies the files that launchd has a service print to.
"""
