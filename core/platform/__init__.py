"""The seam between us and the operating system: equal names, one contract each, one module per platform.

Standard library only, because the shim imports it. `sys.platform` is asked here and nowhere else in `core`.

A process is known by (pid, birth). `birth` is an opaque text that no clock step changes and no second process
with the same pid repeats. What finds out about a process raises OSError if it can find out nothing, for want of a
descriptor: that a process could not be seen does not mean that it is gone.

- `birth(pid)`: that text, or None if no such process lives (a zombie does not live) or it may not be looked at.
- `Tree(argv, env, cwd, stdout, stderr, stop_event, successor)`: spawn a program and own all it starts.
- `watch_end(pid, birth, on_end)`: call `on_end`, from another thread, when that process has ended. Undone by a call of
  what it returns.
- `spawn_shim(argv, cwd, output)`: start a detached shim whose stdout and stderr are the descriptor `output`.
- `ask_shim(pid, birth, stop_event)`: ask a shim to stop its tree and end; False if it is gone already.
- `kill(pid, birth)`: end exactly that process, hard; False if it is gone already.
- `keep_one_heap()`: have all threads share one heap, where the C library would give each its own, and keep large blocks
  out of it. Before any thread.
- `has_guard(shim_pid, shim_birth)`: whether a killed shim's guard still lives; always False where `GUARDED` is.
- `members(shim_pid, shim_birth)`: the pids of a living shim's tree, its guard's among them; always none where
  `GUARDED` is False, since only the shim can ask its job.
- `end_orphans(shim_pid, shim_birth)`: end, hard, what a killed shim and its killed guard left; the pids that live on.
- `stop_console(pid)`: the body of the helper process that `Tree.ask` needs on Windows; returns its exit code.
- `make_private_dir(path, parents=True)`: create a folder (and its parents) that only this user may enter; OSError
  (ENOTSUP) where the file system keeps no rights.
- `create_private(path)`, `open_private(path)`: a descriptor to write a new file in such a folder, and one to read a
  file there that nobody but this user (or root) can have written.
- `replace_private(source, target)`, `unlink_private(path)`: as `replace_file` and `unlink_file`, in such a folder. None
  of the four follows a link that has taken the folder's place.
- `delete_if_foreign(path)`: delete a file that another user made there, or a link; one of ours stays.
- `close_to_others(file)`: take others' rights to an open file away; False if they could have read it until now.
- `who_else_may_write(path, status)`: which other users may change that file or folder, in words; None if none may.
- `replace_file(source, target)`: atomic rename over `target`, waiting out readers where the system refuses.
- `unlink_file(path)`: delete; False where the system refuses because somebody holds the file open.
- `leave_bundle()`: have what a frozen program starts look for libraries where it would if it were not frozen.
- `EXECUTABLE_NAMES`: file names that an Ollama executable may have on this platform.
- `GUARDED`: whether a killed shim leaves a guard behind that stops the tree and says so in the run record; where not,
  the kernel itself ends the tree with the shim.
- `merged_environment(additions)`: our own environment with additions, by the platform's rule for equal names.
- `forbids_programs(path)`: whether the disk that holds it is mounted so that nothing on it may be run.
- `known_executables()`: absolute paths to look at, in order, before PATH.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from core.platform.windows import (
        EXECUTABLE_NAMES,
        GUARDED,
        Tree,
        ask_shim,
        birth,
        close_to_others,
        create_private,
        delete_if_foreign,
        end_orphans,
        forbids_programs,
        has_guard,
        keep_one_heap,
        kill,
        known_executables,
        leave_bundle,
        make_private_dir,
        members,
        merged_environment,
        open_private,
        replace_file,
        replace_private,
        spawn_shim,
        stop_console,
        unlink_file,
        unlink_private,
        watch_end,
        who_else_may_write,
    )
else:
    from core.platform.posix import (
        EXECUTABLE_NAMES,
        GUARDED,
        Tree,
        ask_shim,
        birth,
        close_to_others,
        create_private,
        delete_if_foreign,
        end_orphans,
        forbids_programs,
        has_guard,
        keep_one_heap,
        kill,
        known_executables,
        leave_bundle,
        make_private_dir,
        members,
        merged_environment,
        open_private,
        replace_file,
        replace_private,
        spawn_shim,
        stop_console,
        unlink_file,
        unlink_private,
        watch_end,
        who_else_may_write,
    )

__all__ = [
    "EXECUTABLE_NAMES",
    "GUARDED",
    "Tree",
    "ask_shim",
    "birth",
    "close_to_others",
    "create_private",
    "delete_if_foreign",
    "end_orphans",
    "forbids_programs",
    "has_guard",
    "keep_one_heap",
    "kill",
    "known_executables",
    "leave_bundle",
    "make_private_dir",
    "members",
    "merged_environment",
    "open_private",
    "replace_file",
    "replace_private",
    "spawn_shim",
    "stop_console",
    "unlink_file",
    "unlink_private",
    "watch_end",
    "who_else_may_write",
]
