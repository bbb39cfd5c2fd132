"""Ollama's request lines, as gin prints them, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.logs.own_calls import MARK
from core.metrics.gin import Request, duration_of, requests_in
from core.metrics.requests import BUCKETS, OTHER, RequestCounts, class_of, route_of

STAMP = "[OUT] 2026-11-27 23:11:04 "


def line(
    status: int = 200,
    took: str = "262.5ms",
    client: str = "127.0.0.1",
    method: str = "POST",
    path: str = "/api/generate",
    stamp: str = STAMP,
) -> str:
    """As gin prints it: `[GIN] %v | %3d | %13v | %15s | %-7s  "%s"`."""
    return f'{stamp}[GIN] 2026/11/27 - 23:11:04 | {status:3} | {took:>13} | {client:>15} | {method:<7}  "{path}"\n'


def parsed(text: str) -> list[Request]:
    return list(requests_in(text.encode()))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0.0),
        ("1ns", 1e-9),
        ("999ns", 999e-9),
        ("1.234µs", 1.234e-6),
        ("31.25\u00b5s", 31.25e-6),
        ("31.25\u03bcs", 31.25e-6),
        ("7us", 7e-6),
        ("1.000231ms", 0.001000231),
        ("262.5ms", 0.2625),
        ("1.5s", 1.5),
        ("59.999999999s", 59.999999999),
        ("1m0s", 60.0),
        ("1m2s", 62.0),
        ("1m2.5s", 62.5),
        ("10m0s", 600.0),
        ("1h0m0s", 3600.0),
        ("1h2m3s", 3723.0),
        ("123h0m59s", 442859.0),
    ],
)
def test_every_unit_is_read(text: str, seconds: float) -> None:
    """From nanoseconds to hours, alone and together, with either µ."""
    assert duration_of(text.encode()) == pytest.approx(seconds, rel=1e-12, abs=0)
    assert [request.seconds for request in parsed(line(took=text))] == [duration_of(text.encode())]


@pytest.mark.parametrize("text", ["", "5", "s", "1.5", "-1s", "1,5s", "1.s", ".5s", "5 s", "1m2", "1d", "1ms2", "NaNs"])
def test_what_is_no_duration_makes_no_request(text: str) -> None:
    """Neither half a duration nor one of another grammar."""
    assert duration_of(text.encode()) is None
    assert parsed(line(took=text)) == []


def _as_go_prints(nanoseconds: int) -> str:
    """`time.Duration.String`, by its documentation."""
    if nanoseconds < 1_000_000_000:
        for unit, size in (("ms", 1_000_000), ("µs", 1_000)):
            if nanoseconds >= size:
                return f"{_decimal(nanoseconds, size)}{unit}"
        return f"{nanoseconds}ns" if nanoseconds else "0s"
    minutes, rest = divmod(nanoseconds, 60_000_000_000)
    seconds = f"{_decimal(rest, 1_000_000_000)}s"
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + seconds


def _decimal(value: int, size: int) -> str:
    whole, part = divmod(value, size)
    digits = f"{part:0{len(str(size)) - 1}}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


@given(st.integers(0, 400 * 3600 * 10**9))
def test_any_duration_of_go_is_read(nanoseconds: int) -> None:
    assert duration_of(_as_go_prints(nanoseconds).encode()) == pytest.approx(nanoseconds / 1e9, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", "fe80::1%eth0", "2001:db8:85a3::8a2e:370:7334", ""])
def test_any_client_is_read(client: str) -> None:
    """Also one of IPv6, which is wider than its column, and none at all."""
    assert parsed(line(client=client)) == [
        Request(200, 0.2625, client, "POST", "/api/generate", "2026-11-27 23:11:04"),
    ]


@pytest.mark.parametrize("status", [101, 200, 201, 301, 400, 404, 408, 429, 499, 500, 503, 504])
def test_any_status_is_read(status: int) -> None:
    """Also 499, of a client that left, and those of time-outs."""
    assert [request.status for request in parsed(line(status))] == [status]


def test_a_path_is_told_without_its_query_and_as_it_is_quoted() -> None:
    """A quote or a line break that somebody put into a path ends nothing."""
    assert parsed(line(path="/api/tags?x=1"))[0].path == "/api/tags"
    (odd,) = parsed(line(path=r"/api/\"tags\n[GIN] é"))
    assert odd.path == r"/api/\"tags\n[GIN] é"


@pytest.mark.parametrize("stamp", ["", "[ERR] 2026-11-27 23:11:04 "])
def test_a_line_counts_with_any_stamp_of_a_log_and_without(stamp: str) -> None:
    """Other owners keep the lines of their Ollama elsewhere."""
    assert len(parsed(line(stamp=stamp))) == 1
    assert len(parsed(line(stamp=stamp)[:-1] + "\r\n")) == 1
    assert len(parsed(line(stamp=stamp)[:-1])) == 1


@pytest.mark.parametrize(
    "other",
    [
        "\n",
        "[OUT] 2026-11-27 23:11:04 Listening on 127.0.0.1:11434 (version 0.9.3)\n",
        "[OUT] 2026-11-27 23:11:04 [GIN-debug] GET    /api/tags --> github.com/ollama (5 handlers)\n",
        "[SYS] 2026-11-27 23:11:04 3 lines were lost: the disk did not take them\n",
        line(stamp=STAMP.replace("OUT", "SYS")),
        "said: " + line(),
        line(stamp=STAMP + "said: "),
        line()[:-1] + " and more\n",
        line().replace('"', "'"),
        line().replace("| 200 |", "| 2xx |"),
        line().replace("| 200 |", "| 20 |"),
        line(method="post"),
        line()[:-10] + "\n",
        "Error #01: write tcp 127.0.0.1:11434->127.0.0.1:54321: write: broken pipe\n",
        line(path=f"/api/version?{MARK}", method="GET"),
        line(500, path=f"/api/generate?{MARK}"),
    ],
)
def test_what_is_no_request_of_somebody_else_passes(other: str) -> None:
    """Other lines, those that only look like it, and our own calls, failed ones too."""
    assert parsed(other) == []
    assert len(parsed(line() + other + line(404))) == 2


@given(st.binary(max_size=300))
def test_any_bytes_pass(noise: bytes) -> None:
    """Beside a request they hide nothing, as long as they end their line."""
    assert len(list(requests_in(noise + b"\n" + line().encode()))) >= 1


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "/"),
        ("/api/generate", "/api/generate"),
        ("/api/tags/", "/api/tags"),
        ("/v1/models", "/v1/models"),
        ("/v1/models/llama3.2:3b", "/v1/models"),
        ("/api/blobs/sha256:29fdb92e57cf", "/api/blobs"),
        ("/api/generate/x", OTHER),
        ("/api", OTHER),
        ("//", OTHER),
        ("", OTHER),
        ("/index.php", OTHER),
    ],
)
def test_a_path_is_told_by_its_route(path: str, route: str) -> None:
    """Whoever calls made-up paths adds one count, `other`, and no more."""
    assert route_of(path) == route


def test_requests_are_counted_by_route_class_and_duration() -> None:
    """In the bucket whose limit is the first that is not below; what failed is kept, the last 20."""
    counts = RequestCounts()
    counts.add(parsed(line() + line(took="250ms") + line(took="20m0s") + line(499) + line(path="/x", status=404)))
    counts.add(parsed(line(500) * 30))
    assert {key: latencies.count for key, latencies in counts.latencies.items()} == {
        ("/api/generate", "2xx"): 3,
        ("/api/generate", "4xx"): 1,
        (OTHER, "4xx"): 1,
        ("/api/generate", "5xx"): 30,
    }
    good = counts.latencies["/api/generate", "2xx"]
    assert good.counts[BUCKETS.index(0.25)] == good.counts[BUCKETS.index(0.28)] == good.counts[-1] == 1
    assert good.seconds == pytest.approx(0.2625 + 0.25 + 1200)
    assert [error.status for error in counts.errors] == [500] * 20
    assert counts.total == 35


@pytest.mark.parametrize(
    ("status", "expected"),
    [(100, "1xx"), (200, "2xx"), (399, "3xx"), (499, "4xx"), (500, "5xx"), (0, "5xx"), (999, "5xx")],
)
def test_a_class_is_one_of_five(status: int, expected: str) -> None:
    assert class_of(status) == expected
