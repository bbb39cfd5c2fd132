"""A wall clock that a test sets for the processes it starts, back and forth while they run. Linux with gcc.

libfaketime would do the same, but its 0.9.10 bends absolute sleeps on the monotonic clock as well, of which Python's
`time.sleep` is one. This one bends nothing but the wall clock.
"""

from __future__ import annotations

import struct
from pathlib import Path

from tests.beds.preload import preloaded

_SOURCE = r"""
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TEST_CLOCK_OFFSET");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) offset = page;
    if (file >= 0) close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *offset;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now) *now = exact.tv_sec;
    return exact.tv_sec;
}
"""


class Clock:
    """The wall clock of every process that is started with `environment`. Raises `BedMissing` where that cannot be."""

    def __init__(self, folder: Path) -> None:
        self._offset = folder / "clock-offset"
        self._offset.write_bytes(bytes(8))
        self.environment = {**preloaded("clock", _SOURCE), "TEST_CLOCK_OFFSET": str(self._offset)}

    def step_to(self, seconds: int) -> None:
        """Set the clock to so many seconds after (or before) the true time, at once for all who look."""
        with self._offset.open("r+b", buffering=0) as file:
            file.write(struct.pack("=q", seconds))
