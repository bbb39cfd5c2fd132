"""A disk that hangs on demand, as a network drive does whose server is gone. Linux with gcc.

Calls on paths below a prefix block in the processes that a test starts, in the C library, until the disk is healed.
Nothing else of them is touched, so that a test can tell who waits for that disk.
"""

from __future__ import annotations

from pathlib import Path

from tests.beds.preload import preloaded

_SOURCE = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static volatile char *hanging;
static const char *prefix;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TEST_DISK_SWITCH");
    int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) hanging = page;
    if (file >= 0) close(file);
    prefix = getenv("TEST_DISK_PREFIX");
}

static void await_path(const char *path) {
    const struct timespec moment = {0, 5000000};
    if (!hanging || !prefix || !path || strncmp(path, prefix, strlen(prefix))) return;
    while (*hanging) nanosleep(&moment, NULL);
}

static void await_file(int file) {
    char link[64], path[4096];
    if (!hanging || !*hanging) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (size < 0) return;
    path[size] = 0;
    await_path(path);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int opened(const char *path, int flags, va_list rest) {
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    await_path(path);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int file = opened(path, flags, rest);
    va_end(rest);
    return file;
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int file = opened(path, flags, rest);
    va_end(rest);
    return file;
}

ssize_t write(int file, const void *data, size_t n) { await_file(file); return syscall(SYS_write, file, data, n); }
ssize_t read(int file, void *data, size_t n) { await_file(file); return syscall(SYS_read, file, data, n); }
int unlink(const char *path) { await_path(path); return NEXT(unlink)(path); }
int mkdir(const char *path, mode_t mode) { await_path(path); return NEXT(mkdir)(path, mode); }
int rename(const char *from, const char *to) { await_path(to); return NEXT(rename)(from, to); }
int stat64(const char *path, struct stat64 *found) { await_path(path); return NEXT(stat64)(path, found); }
int lstat64(const char *path, struct stat64 *found) { await_path(path); return NEXT(lstat64)(path, found); }
int stat(const char *path, struct stat *found) { await_path(path); return NEXT(stat)(path, found); }
int lstat(const char *path, struct stat *found) { await_path(path); return NEXT(lstat)(path, found); }
DIR *opendir(const char *path) { await_path(path); return NEXT(opendir)(path); }
"""


class HangingDisk:
    """What lies below `prefix`, for every process that is started with `environment`. Sound at first.

    Raises `BedMissing` where that cannot be.
    """

    def __init__(self, folder: Path, prefix: Path) -> None:
        self._switch = folder / "disk-hangs"
        self.heal()
        self.environment = {
            **preloaded("hanging-disk", _SOURCE),
            "TEST_DISK_SWITCH": str(self._switch),
            "TEST_DISK_PREFIX": str(prefix),
        }

    def hang(self) -> None:
        """Have each call on it block from now on."""
        self._set(b"\x01")

    def heal(self) -> None:
        """Let all go on that wait."""
        self._set(b"\x00")

    def _set(self, value: bytes) -> None:
        with self._switch.open("r+b" if self._switch.exists() else "wb", buffering=0) as file:
            file.write(value)
