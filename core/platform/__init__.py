"""The operating system, behind one contract: equal names, one module per system.

Standard library only, because the shim imports it. `sys.platform` is asked in this room and nowhere else in `core`. To
add a function, state its contract here and implement it in `posix` and `windows`, which are type-checked for Linux,
macOS and Windows.

A process is known by (pid, birth). `birth` is an opaque text that no change of the clock alters and that no other
process with the same pid has. Functions about processes raise OSError if they could read nothing, for want of a
descriptor or memory: a process that could not be read may well be alive.

Processes:

- `birth(pid)`: its birth; None if no such process lives (a zombie does not) or we may not read it.
- `Tree(argv, env, cwd, stdout, stderr, stop_event, successor)`: spawn a program and own all it starts.
- `watch_end(pid, birth, on_end)`: call `on_end`, from another thread, when that process has ended. Returns a function
  that ends the watch.
- `spawn_shim(argv, cwd, output)`: start a detached shim whose stdout and stderr are the descriptor `output`.
- `SHIM_SECONDS`: how long a shim may take to say that its program runs.
- `ask_shim(pid, birth, stop_event)`: ask a shim to stop its tree and exit; False if it is gone already.
- `kill(pid, birth)`: end exactly that process, without a chance to clean up; False if it is gone already.
- `GUARDED`: whether a killed shim leaves a guard that stops the tree and completes the run record. Where False, the
  kernel itself ends the tree with the shim.
- `has_guard(shim_pid, shim_birth)`: whether a killed shim's guard still lives; always False where `GUARDED` is.
- `members(shim_pid, shim_birth)`: the pids of a living shim's tree, its guard's among them; always none where
  `GUARDED` is False, since only the shim can ask its job.
- `end_orphans(shim_pid, shim_birth)`: kill what a killed shim and its killed guard left; returns the pids still alive.
- `stop_console(pid)`: the body of the helper process that `Tree.ask` needs on Windows; returns its exit code.
- `merged_environment(additions)`: our own environment with additions, by the system's rule for equal names.
- `keep_one_heap()`: have all threads share one heap, without large blocks. Call it before any thread starts.
- `leave_bundle()`: have the children of a frozen program find the system's libraries, not the program's.

Files:

- `make_private_dir(path, parents=True)`: create a folder (and its parents) that only this user may enter. Raises
  OSError; ENOTSUP where the file system keeps no rights.
- `create_private(path)`, `open_private(path)`: a descriptor to write a new file in such a folder, and one to read a
  file there that nobody but this user or root can have written.
- `replace_private(source, target)`, `unlink_private(path)`: as `replace_file` and `unlink_file`, in such a folder. None
  of the four follows a link that has taken the folder's place.
- `delete_if_foreign(path)`: delete that file if it belongs to another user or is a link; a file of ours stays.
- `close_to_others(file)`: take other users' rights to an open file away; False if they could have read it until now.
- `is_closed_to_others(file)`: whether no other user can read an open file; changes nothing.
- `check_private_dir(path)`: raise what keeps that folder from being private, such as a link; changes nothing.
- `who_else_may_write(path, status)`: which other users may change that file or folder, in words; None if none may.
- `replace_file(source, target)`: atomic rename over `target`; waits while Windows refuses because somebody reads it.
- `unlink_file(path)`: delete; False where Windows refuses because somebody has the file open.

Programs:

- `EXECUTABLE_NAMES`: file names that an Ollama executable may have.
- `known_executables()`: absolute paths where installers put Ollama, in the order in which to try them, before PATH.
- `forbids_programs(path)`: whether that disk is mounted `noexec`.

The system itself:

- `SYSTEM`: its name for people, `Linux`, `macOS` or `Windows`. For texts; what differs by system belongs in this room.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from core.platform.windows import (
        EXECUTABLE_NAMES,
        GUARDED,
        SHIM_SECONDS,
        SYSTEM,
        Tree,
        ask_shim,
        birth,
        check_private_dir,
        close_to_others,
        create_private,
        delete_if_foreign,
        end_orphans,
        forbids_programs,
        has_guard,
        is_closed_to_others,
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
        SHIM_SECONDS,
        SYSTEM,
        Tree,
        ask_shim,
        birth,
        check_private_dir,
        close_to_others,
        create_private,
        delete_if_foreign,
        end_orphans,
        forbids_programs,
        has_guard,
        is_closed_to_others,
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
    "SHIM_SECONDS",
    "SYSTEM",
    "Tree",
    "ask_shim",
    "birth",
    "check_private_dir",
    "close_to_others",
    "create_private",
    "delete_if_foreign",
    "end_orphans",
    "forbids_programs",
    "has_guard",
    "is_closed_to_others",
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
