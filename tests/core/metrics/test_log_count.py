"""Counting by the log: every line once, whenever it is asked, over segments, starts and what is pruned."""

from __future__ import annotations

import random
from pathlib import Path

from core.logs.segments import Caps, SegmentedFile
from core.metrics.log_count import LogCount
from core.owners.logs import FolderLogs
from tests.core.metrics.test_gin import line

NOON = 1_730_462_400.0  # 2024-11-01 12:00:00 UTC
PLENTY = Caps(segment_bytes=4096, segments_per_start=10_000, starts=1000)


def test_each_line_counts_once_however_often_and_seldom_it_is_asked(tmp_path: Path) -> None:
    """What was there before the first time is not counted; a line that is half written is, once it is whole."""
    folder = tmp_path / "logs"
    chance = random.Random(7)
    file = SegmentedFile(str(folder), PLENTY, NOON)
    file.append(line().encode() * 3)
    count = LogCount(FolderLogs(folder))
    count.catch_up()
    assert count.counts.total == 0
    written = 0
    for start in range(3):
        for _ in range(60):
            lines = chance.randrange(40)
            content = (line(chance.choice((200, 404))) + "something else\n") * lines
            file.append(content.encode())
            written += lines
            if chance.random() < 0.3:
                count.catch_up()
                assert count.counts.total == written
        file.close()
        file = SegmentedFile(str(folder), PLENTY, NOON + 60 * (start + 1))
    half = line().encode()
    with Path(file.path).open("ab") as log:
        log.write(half[:50])
        log.flush()
        count.catch_up()
        assert count.counts.total == written
        log.write(half[50:])
    count.catch_up()
    assert count.counts.total == written + 1
    assert sum(latencies.count for latencies in count.counts.latencies.values()) == written + 1
    assert count.gaps == 0
    file.close()


def test_without_any_log_the_first_one_counts_from_its_beginning(tmp_path: Path) -> None:
    """As it is before the first start of all."""
    count = LogCount(FolderLogs(tmp_path / "logs"))
    count.catch_up()
    file = SegmentedFile(str(tmp_path / "logs"), PLENTY, NOON)
    file.append(line().encode())
    file.close()
    count.catch_up()
    assert count.counts.total == 1


def test_what_was_deleted_before_it_was_read_is_told(tmp_path: Path) -> None:
    """A gap, and everything behind it."""
    file = SegmentedFile(str(tmp_path), Caps(segment_bytes=4096, segments_per_start=2), NOON)
    file.append(line().encode())
    count = LogCount(FolderLogs(tmp_path))
    count.catch_up()
    for _ in range(40):
        file.append(line().encode() * 20)
    count.catch_up()
    file.close()
    assert count.gaps == 1
    assert 0 < count.counts.total < 800
