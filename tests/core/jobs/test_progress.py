"""How the lines of a pull add up: never back, and at a rate that is told of now."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.jobs.job import Job, JobState
from core.jobs.progress import Progress
from core.jobs.texts import going_on
from core.jobs.texts import progress as told
from core.ollama.pull import PullLine

MIB = 1 << 20


def layer(digest: str, completed: int, total: int) -> PullLine:
    return PullLine(f"pulling {digest}", digest, total, completed)


def test_layers_are_added_up() -> None:
    progress = Progress()
    progress.take(PullLine("pulling manifest"), 0.0)
    assert (progress.step, progress.total, progress.completed, progress.percent) == ("Asking the registry", None, 0, 0)
    progress.take(layer("a", 3 * MIB, 8 * MIB), 0.1)
    assert (progress.step, progress.total, progress.completed, progress.percent) == (
        "Downloading",
        8 * MIB,
        3 * MIB,
        37,
    )
    progress.take(layer("a", 8 * MIB, 8 * MIB), 0.2)
    progress.take(layer("b", 1 * MIB, 2 * MIB), 0.3)
    assert (progress.total, progress.completed) == (10 * MIB, 9 * MIB)


def test_the_percentage_stands_still_while_a_further_layer_makes_the_sum_grow() -> None:
    progress = Progress()
    progress.take(layer("a", 8 * MIB, 8 * MIB), 0.1)
    assert progress.percent == 99, "not 100 before the end"
    progress.take(layer("b", 0, 8 * MIB), 0.2)
    assert (progress.completed, progress.total, progress.percent) == (8 * MIB, 16 * MIB, 99)


def test_small_layers_before_the_big_one_do_not_use_the_percentage_up() -> None:
    progress = Progress()
    progress.take(layer("license", 1000, 1000), 0.1)
    assert progress.percent == 0
    progress.take(layer("model", 4 * MIB, 8 * MIB), 0.2)
    assert progress.percent == 50


lines = st.builds(
    lambda digest, total, completed: PullLine("pulling", digest, total, completed),
    st.sampled_from(["", "a", "b", "c"]),
    st.integers(0, 50 * MIB),
    st.integers(0, 50 * MIB),
)


@given(st.lists(st.tuples(lines, st.floats(0, 3), st.booleans()), max_size=40))
def test_whatever_is_printed_the_percentage_never_goes_back(found: list[tuple[PullLine, float, bool]]) -> None:
    """Also over attempts, and when what was complete is complete no more."""
    progress, now, before = Progress(), 0.0, 0
    for line, pause, is_anew in found:
        now += pause
        if is_anew:
            progress.begin()
        progress.take(line, now)
        assert before <= progress.percent <= 99
        assert progress.completed <= (progress.total or 0)
        rate = progress.bytes_per_second(now)
        assert rate is None or rate >= 0
        before = progress.percent


@given(st.lists(lines, max_size=40))
def test_the_sums_are_those_of_what_was_said_last_of_each_layer(found: list[PullLine]) -> None:
    """Also when a layer shrinks, or more of it is complete than there is."""
    progress, last, percent = Progress(), dict[str, tuple[int, int]](), 0
    for line in found:
        progress.take(line, 0.0)
        if line.digest:
            last[line.digest] = line.completed, max(line.completed, line.total)
        completed, total = (sum(layer[place] for layer in last.values()) for place in (0, 1))
        assert (progress.completed, progress.total) == (completed, total if last else None)
        if any(size >= MIB for _, size in last.values()):
            percent = max(percent, min(99, 100 * completed // total))
        assert progress.percent == percent


class Counted(int):
    """A number that counts how often one like it is added or subtracted."""

    count = 0

    def __add__(self, other: int) -> int:
        Counted.count += 1
        return int(self) + int(other)

    def __sub__(self, other: int) -> int:
        Counted.count += 1
        return int(self) - int(other)

    def __rsub__(self, other: int) -> int:
        Counted.count += 1
        return int(other) - int(self)

    __radd__ = __add__


def test_a_line_costs_the_same_however_many_layers_there_are() -> None:
    progress = Progress()
    for number in range(1000):
        progress.take(layer(str(number), Counted(MIB), Counted(2 * MIB)), 0.0)
    before = Counted.count
    assert before >= 1000
    progress.take(layer("0", Counted(2 * MIB), Counted(2 * MIB)), 0.0)
    assert (progress.completed, progress.total) == (1001 * MIB, 2000 * MIB)
    assert progress.seconds_left(1.0) == 999
    assert Counted.count - before < 20


def test_the_rate_is_that_of_the_last_ten_seconds() -> None:
    progress = Progress()
    for second in range(21):
        # 4 MiB/s for ten seconds, then 1 MiB/s.
        completed = 4 * second if second <= 10 else 40 + second - 10
        progress.take(layer("a", completed * MIB, 100 * MIB), float(second))
        if second == 10:
            assert progress.bytes_per_second(10.0) == 4 * MIB
            assert progress.seconds_left(10.0) == 15
    assert progress.bytes_per_second(20.0) == MIB
    assert progress.seconds_left(20.0) == 50


def test_what_was_there_before_the_attempt_was_not_downloaded_by_it() -> None:
    progress = Progress()
    progress.take(layer("a", 90 * MIB, 100 * MIB), 0.0)
    progress.take(layer("a", 91 * MIB, 100 * MIB), 1.0)
    assert progress.bytes_per_second(1.0) == MIB
    progress.begin()
    assert progress.bytes_per_second(1.0) is None
    progress.take(layer("a", 95 * MIB, 100 * MIB), 60.0)
    progress.take(layer("a", 97 * MIB, 100 * MIB), 61.0)
    assert progress.bytes_per_second(61.0) == 2 * MIB


def test_a_download_that_stands_still_has_no_time_left_to_tell() -> None:
    progress = Progress()
    for second in range(30):
        progress.take(layer("a", min(second, 5) * MIB, 100 * MIB), float(second))
    assert progress.bytes_per_second(29.0) == 0
    assert progress.seconds_left(29.0) is None


def test_a_job_says_in_words_how_far_it_is() -> None:
    job = Job(
        "1",
        "llama3.2:3b",
        "default",
        JobState.RUNNING,
        0.0,
        "Downloading",
        completed=700 * MIB,
        total=2048 * MIB,
        percent=34,
        bytes_per_second=12 * MIB,
        seconds_left=113,
    )
    assert told(job) == "34 % of 2 GB, 12 MB/s, 2 min left"


def test_a_sentence_that_a_job_waits_for_ends_once() -> None:
    job = Job("a", "m:latest", "default", JobState.QUEUED, 0.0, "Tries again in 4 s: It hung up.")
    assert going_on(job) == "Tries again in 4 s: It hung up; it goes on"
