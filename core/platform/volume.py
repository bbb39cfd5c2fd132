"""What kind of disk a folder lies on. Equal on every platform.

Not part of `core.platform` itself, which the shim imports and which therefore stays small. Blocks, for ever if that
disk hangs: call it in a thread, with a deadline.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import psutil

# Of file systems in user space (fuse) the kind follows a dot: fuse.sshfs.
_NETWORK = frozenset(
    {"9p", "afs", "afpfs", "beegfs", "ceph", "cifs", "coda", "davfs", "gcsfuse", "glusterfs", "gpfs", "lustre", "ncpfs"}
    | {
        "nfs",
        "nfs4",
        "rclone",
        "s3fs",
        "smb3",
        "smbfs",
        "sshfs",
        "virtiofs",
        "webdav",
        "curlftpfs",
        "orangefs",
        "pvfs2",
    }
)
_WITHOUT_RIGHTS = frozenset({"exfat", "fat", "fat32", "hfs", "msdos", "umsdos", "vfat"})
_REMOTE = "remote"


@dataclass(frozen=True, slots=True)
class Volume:
    """A disk: where it is mounted, and the name that the system has for its file system, in lower case."""

    place: str
    kind: str
    is_network: bool
    is_read_only: bool

    @property
    def keeps_rights(self) -> bool:
        """False for a file system that is known to have no owners and modes, or access lists."""
        return self.kind not in _WITHOUT_RIGHTS


def volume_of(path: str) -> Volume | None:
    """The disk that holds a folder, or would hold it once it is made; None if the system does not tell."""
    real = os.path.realpath(path)
    if sys.platform == "win32" and real.startswith("\\\\") and not real.startswith("\\\\?\\"):
        return Volume(os.path.splitdrive(real)[0], "a share", is_network=True, is_read_only=False)
    real = real.removeprefix("\\\\?\\")
    best: Volume | None = None
    for mount in psutil.disk_partitions(all=True):
        # Of two that are mounted at one place, the later one hides the earlier one.
        if _is_below(real, mount.mountpoint) and (best is None or len(mount.mountpoint) >= len(best.place)):
            kind, options = mount.fstype.lower(), mount.opts.split(",")
            is_network = kind.removeprefix("fuse.") in _NETWORK or _REMOTE in options
            best = Volume(mount.mountpoint, kind, is_network, "ro" in options)
    return best


def _is_below(path: str, mount: str) -> bool:
    path, mount = os.path.normcase(path), os.path.normcase(mount)
    return path == mount or path.startswith(mount if mount.endswith(os.sep) else mount + os.sep)
