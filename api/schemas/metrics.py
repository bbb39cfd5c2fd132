"""The bodies of metrics. What is not known is null, and never 0."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from core.metrics.canary import CanaryReport
from core.metrics.gin import Request
from core.metrics.history import Row
from core.metrics.instance import Now
from core.metrics.meters import Report, Snapshot
from core.metrics.requests import Latencies, route_of
from core.platform.gpu import Gpu
from core.supervision.state import Status

_SHARES = (0.5, 0.95, 0.99)


class RunnerBody(msgspec.Struct, frozen=True, rename="camel"):
    """One model runner. `model` is null where it cannot be told; `cpu` is in cores."""

    pid: int
    model: str | None
    cpu: float | None
    memory_bytes: int
    threads: int


class LoadedBody(msgspec.Struct, frozen=True, rename="camel"):
    """One model in memory, as Ollama tells it; `vram_bytes` of its `size_bytes` are on graphics processors."""

    name: str
    size_bytes: int
    vram_bytes: int


class SampleBody(msgspec.Struct, frozen=True, rename="camel"):
    """One moment of one instance: its whole tree of processes, its runners, and its models in memory.

    `models` is null where Ollama was not asked or did not answer. `requests` and `request_seconds` are sums since the
    start of the sidecar.
    """

    running: bool
    state: str
    uptime_seconds: float | None
    processes: int | None
    cpu: float | None
    cpu_seconds: float | None
    memory_bytes: int | None
    threads: int | None
    open_files: int | None
    vram_bytes: int | None
    runners: list[RunnerBody]
    models: list[LoadedBody] | None
    requests: int
    request_seconds: float
    restarts: int


class LastExitBody(msgspec.Struct, frozen=True, rename="camel"):
    """How a managed Ollama ended last. `code` is below zero for a signal, null if nobody saw it."""

    code: int | None
    reason: str
    ended_at: str | None


class RouteBody(msgspec.Struct, frozen=True, rename="camel"):
    """Requests of one route that ended with one class of status. Quantiles are told within some per cent."""

    route: str
    status: str
    count: int
    seconds: float
    p50: float | None
    p95: float | None
    p99: float | None


class RequestErrorBody(msgspec.Struct, frozen=True, rename="camel"):
    """A request that failed. `at` is null if the log does not tell.

    Its path is not told, only its route: what stands in Ollama's log is for the user's own programs.
    """

    at: str | None
    method: str
    route: str
    status: int
    seconds: float


class RequestsBody(msgspec.Struct, frozen=True, rename="camel"):
    """Requests since `since`, the start of the sidecar, as Ollama's log tells of them; the sidecar's are left out."""

    since: str
    total: int
    routes: list[RouteBody]
    errors: list[RequestErrorBody]
    gaps: int


class StartsBody(msgspec.Struct, frozen=True, rename="camel"):
    """Starts, restarts and ends of a managed Ollama since the start of the sidecar."""

    count: int
    failed: int
    crashes: int
    restarts: int
    mean_seconds: float | None
    last_exit: LastExitBody | None


class CanaryBody(msgspec.Struct, frozen=True, rename="camel"):
    """What the canary shows, null without one. `stuck` says why nothing is generated, null if it is.

    `verdicts` counts checks: answered, busy, not_loaded, failed, stuck. `first_token_seconds` is of the last answer.
    """

    model: str
    stuck: str | None
    verdicts: dict[str, int]
    mean_seconds: float | None
    first_token_seconds: float | None


class HistoryBody(msgspec.Struct, frozen=True, rename="camel"):
    """The last ten minutes, oldest first: the n-th entry of each column is of the n-th moment, `at`, Unix time.

    `requests` are those that ended since the moment before, which took `request_seconds` together.
    """

    at: list[float]
    cpu: list[float | None]
    memory_bytes: list[int | None]
    threads: list[int | None]
    open_files: list[int | None]
    vram_bytes: list[int | None]
    requests: list[int]
    request_seconds: list[float]


class InstanceMetricsBody(msgspec.Struct, frozen=True, rename="camel"):
    """All that is known of one instance. `pulled_bytes` is what pulls have brought since the start of the sidecar."""

    id: str
    now: SampleBody
    requests: RequestsBody
    starts: StartsBody
    pulled_bytes: int
    canary: CanaryBody | None
    history: HistoryBody


class GpuBody(msgspec.Struct, frozen=True, rename="camel"):
    """One graphics processor, and what all programs do with it. `busy` is a share from 0 to 1."""

    id: str
    name: str
    vendor: str
    memory_bytes: int | None
    memory_used_bytes: int | None
    busy: float | None
    temperature_celsius: float | None
    power_watts: float | None


class MetricsBody(msgspec.Struct, frozen=True, rename="camel"):
    """GET /api/ollama/metrics."""

    at: str
    instances: list[InstanceMetricsBody]
    gpus: list[GpuBody]


def metrics_body(snapshot: Snapshot) -> MetricsBody:
    """The wire's view of a snapshot."""
    return MetricsBody(
        _text_of(snapshot.at),
        [_instance_body(report) for report in snapshot.reports],
        [_gpu_body(gpu) for gpu in snapshot.gpus],
    )


def sample_body(now: Now) -> SampleBody:
    """The wire's view of one moment."""
    tree = now.tree
    return SampleBody(
        running=now.status.is_running,
        state=now.status.state,
        uptime_seconds=None if now.uptime is None else round(now.uptime, 1),
        processes=tree.processes if tree else None,
        cpu=_rounded(tree.cpu) if tree else None,
        cpu_seconds=_rounded(tree.cpu_seconds) if tree else None,
        memory_bytes=tree.memory if tree else None,
        threads=tree.threads if tree else None,
        open_files=tree.open_files if tree else None,
        vram_bytes=now.vram,
        runners=[RunnerBody(one.pid, one.model, _rounded(one.cpu), one.memory, one.threads) for one in now.runners],
        models=None
        if now.loaded is None
        else [LoadedBody(model.name, model.size, model.size_vram) for model in now.loaded],
        requests=now.requests,
        request_seconds=round(now.request_seconds, 6),
        restarts=now.restarts,
    )


def _instance_body(report: Report) -> InstanceMetricsBody:
    return InstanceMetricsBody(
        id=report.now.instance,
        now=sample_body(report.now),
        requests=RequestsBody(
            _text_of(report.began_at),
            report.now.requests,
            [_route_body(*key, latencies) for key, latencies in report.latencies.items()],
            [_error_body(request) for request in report.errors],
            report.gaps,
        ),
        starts=StartsBody(
            report.starts.count,
            report.failed_starts,
            report.crashes,
            report.now.restarts,
            _rounded(report.starts.seconds / report.starts.count) if report.starts.count else None,
            _last_exit_body(report.now.status),
        ),
        pulled_bytes=report.pulled,
        canary=_canary_body(report.canary) if report.canary else None,
        history=_history_body(report.history),
    )


def _canary_body(canary: CanaryReport) -> CanaryBody:
    answers = canary.answers
    mean = answers.seconds / answers.count if answers.count else None
    return CanaryBody(canary.model, canary.stuck, canary.verdicts, _rounded(mean), _rounded(canary.first_token))


def _history_body(rows: tuple[Row, ...]) -> HistoryBody:
    return HistoryBody(
        [round(row.at, 3) for row in rows],
        [_rounded(row.cpu) for row in rows],
        [row.memory for row in rows],
        [row.threads for row in rows],
        [row.open_files for row in rows],
        [row.vram for row in rows],
        [row.requests for row in rows],
        [round(row.request_seconds, 6) for row in rows],
    )


def _route_body(route: str, status: str, latencies: Latencies) -> RouteBody:
    quantiles = (_rounded(latencies.quantile(share)) for share in _SHARES)
    return RouteBody(route, status, latencies.count, round(latencies.seconds, 6), *quantiles)


def _error_body(request: Request) -> RequestErrorBody:
    at = f"{request.stamp.replace(' ', 'T')}Z" if request.stamp else None
    return RequestErrorBody(at, request.method, route_of(request.path), request.status, round(request.seconds, 6))


def _last_exit_body(status: Status) -> LastExitBody | None:
    last = status.last_exit
    return None if last is None else LastExitBody(last.code, str(last), last.ended_at)


def _gpu_body(gpu: Gpu) -> GpuBody:
    return GpuBody(
        gpu.id, gpu.name, gpu.vendor, gpu.memory_total, gpu.memory_used, gpu.busy, gpu.temperature, gpu.power
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _text_of(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
