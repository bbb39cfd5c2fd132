"""Linux and macOS: files that other users must neither read, write nor exchange. Contracts: `core.platform`.

How a private file is opened: first its folder, without following a link (O_NOFOLLOW); then the folder's owner is
checked on that descriptor; then the file is opened relative to it (openat(2)). Another user who exchanges the folder
for a link or for a folder of his own, at any moment, gains nothing: every step acts on the folder that was checked.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

assert sys.platform != "win32"

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_NO_RIGHTS = "It lies on a file system that keeps no rights, so other users could get at it"


def make_private_dir(path: str, *, parents: bool = True) -> None:
    """Create the folder with its parents; only this user may enter it, also if it was there before.

    Missing parents are made with the same rights or, without `parents`, are a FileNotFoundError. Raises OSError:
    PermissionError if the folder is a link or belongs to another user; ENOTSUP where the file system keeps no rights.
    FAT keeps none: fchmod(2) fails or has no effect.
    """
    if parents:
        _make_folders(os.path.dirname(path))
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    folder = open_own_folder(path)
    try:
        if stat.S_IMODE(os.fstat(folder).st_mode) != 0o700:
            _close(folder, 0o700, path)
    finally:
        os.close(folder)


def check_private_dir(path: str) -> None:
    """Raise OSError for a folder that is not private, without changing it.

    PermissionError if it is a link or belongs to another user; ENOTSUP if others may enter it, as on a file system that
    keeps no rights: whatever started here has closed it. FileNotFoundError if there is none.
    """
    folder = open_own_folder(path)
    try:
        mode = stat.S_IMODE(os.fstat(folder).st_mode)
    finally:
        os.close(folder)
    if mode & _OTHERS:
        raise OSError(errno.ENOTSUP, f"Other users may enter it (mode {mode:04o})", path)


def _make_folders(path: str) -> None:
    """As `os.makedirs`, but each folder that is made gets mode 0700; `os.makedirs` gives that to the last one only."""
    if not path or os.path.isdir(path):
        return
    _make_folders(os.path.dirname(path))
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)


def open_own_folder(path: str) -> int:
    """A descriptor of that folder. Raises OSError; PermissionError (EPERM) if it is a link or another user's."""
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        # For a link Linux says ENOTDIR and macOS ELOOP.
        if os.path.islink(path):
            raise PermissionError(errno.EPERM, "This folder is a link", path) from error
        raise
    if os.fstat(folder).st_uid != os.geteuid():
        os.close(folder)
        raise PermissionError(errno.EPERM, "This folder belongs to another user", path)
    return folder


def _close(file: int, mode: int, path: str | None) -> None:
    """Take others' rights away. Raises OSError (ENOTSUP) if that changes nothing."""
    try:
        os.fchmod(file, mode)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
    if os.fstat(file).st_mode & _OTHERS:
        raise OSError(errno.ENOTSUP, _NO_RIGHTS, path)


@contextlib.contextmanager
def _in_folder(path: str) -> Iterator[tuple[int, str]]:
    """The folder of a private file, held open, and the file's name in it. Raises OSError as `make_private_dir` does."""
    head, name = os.path.split(path)
    folder = open_own_folder(head or os.curdir)
    try:
        yield folder, name
    except OSError as error:
        # The system's error names the file at most, without its folder.
        error.filename = path
        raise
    finally:
        os.close(folder)


def create_private(path: str) -> int:
    """Open a new file to write it, in a folder of ours; only this user may read or write it.

    Raises OSError: FileExistsError if there is one, ENOTSUP where the file system keeps no rights.
    """
    with _in_folder(path) as (folder, name):
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        if os.fstat(file).st_mode & _OTHERS:
            os.close(file)
            os.unlink(name, dir_fd=folder)
            raise OSError(errno.ENOTSUP, _NO_RIGHTS, path)
        return file


def open_private(path: str) -> int:
    """Open a file to read it, in a folder of ours. Raises OSError; EPERM if it is no plain file or others may write it.

    A file of root's is accepted: root may write everything anyhow.
    """
    with _in_folder(path) as (folder, name):
        try:
            # Opening a FIFO blocks until somebody opens its other end; O_NONBLOCK prevents that.
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise PermissionError(errno.EPERM, "It is a link", path) from None
            raise
    status = os.fstat(file)
    is_ours = status.st_uid in (os.geteuid(), 0) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if is_ours and stat.S_ISREG(status.st_mode):
        return file
    os.close(file)
    raise PermissionError(errno.EPERM, "Another user may have written it", path)


def close_to_others(file: int) -> bool:
    """Take away other users' rights to an open file. Returns False if they could have read it until now.

    Raises OSError, ENOTSUP where the file system keeps no rights.
    """
    status = os.fstat(file)
    if not status.st_mode & _OTHERS:
        return True
    # We may not change the mode of root's files.
    if status.st_uid == os.geteuid():
        _close(file, 0o600, None)
    return False


def is_closed_to_others(file: int) -> bool:
    """Whether only this user, and root, can read or write an open file, by its mode."""
    return not os.fstat(file).st_mode & _OTHERS


def replace_private(source: str, target: str) -> None:
    """Rename over `target`, atomically, in the one folder of ours that both lie in. Raises OSError."""
    with _in_folder(target) as (folder, name):
        os.replace(os.path.basename(source), name, src_dir_fd=folder, dst_dir_fd=folder)


def unlink_private(path: str) -> bool:
    """Delete a file in a folder of ours; True also if it was gone already, False if it cannot be."""
    try:
        with _in_folder(path) as (folder, name):
            os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def delete_if_foreign(path: str) -> None:
    """Delete that file if it belongs to another user or is a link; a file of ours or root's stays. Raises OSError."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if status.st_uid not in (os.geteuid(), 0) or not stat.S_ISREG(status.st_mode):
        os.unlink(path)


def who_else_may_write(path: str, status: os.stat_result) -> str | None:
    """Which users other than this one and root may change that file or folder, in words; None if none may.

    `status` is its stat(2). Write permission for a group whose only member is this user counts as none: Debian, for
    one, gives each user such a group.
    """
    if status.st_uid not in (os.geteuid(), 0):
        user = str(status.st_uid)
        with contextlib.suppress(KeyError, OSError):
            user = pwd.getpwuid(status.st_uid).pw_name
        return f"it belongs to the user {user}"
    if status.st_mode & stat.S_IWOTH:
        return "every user may change it"
    if status.st_mode & stat.S_IWGRP and not _is_own_group(status.st_gid):
        group = str(status.st_gid)
        with contextlib.suppress(KeyError, OSError):
            group = grp.getgrgid(status.st_gid).gr_name
        return f"everybody in the group {group} may change it"
    return None


def _is_own_group(gid: int) -> bool:
    """Whether this user is the group's only member, by /etc/group and the user's own entry in /etc/passwd."""
    if gid == 0:
        return True
    try:
        own = pwd.getpwuid(os.geteuid())
        return own.pw_gid == gid and set(grp.getgrgid(gid).gr_mem) <= {own.pw_name}
    except (KeyError, OSError):
        return False
