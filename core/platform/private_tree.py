"""Whole folders inside a private one, such as the copies of the shim in `run`. Equal functions on every platform.

Not part of `core.platform` itself, which the shim imports and which therefore stays small. None of them follows a link
that has taken the place of the private folder, or lies below it: what is done is done in a folder of ours, or refused.
All block on the disk, and raise OSError.

- `names(folder)`: what lies in the private folder.
- `contents(folder, name, skip)`: each file below the folder of that name, as its path with `/` and its bytes; folders
  named `skip` do not count. What is neither a file nor a folder is an error.
- `create(folder, name, files)`: a new folder, with files as path, bytes, and whether it is a program.
- `remove(folder, name, program)`: delete what can be deleted, without an error; nothing where the system does not
  delete `program`, a file in it, because it is run.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from core.platform.private_tree_windows import contents, create, names, remove
else:
    from core.platform.private_tree_posix import contents, create, names, remove

__all__ = ["contents", "create", "names", "remove"]
