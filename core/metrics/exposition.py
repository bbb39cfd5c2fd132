"""A snapshot as the text that Prometheus reads, by prometheus-client's own registry and format.

Names follow https://prometheus.io/docs/practices/naming/; docs/monitoring.md lists them. What is not known is absent.
To import this module takes 50 ms and some megabytes: do it when the text is asked for, in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from core import __version__
from core.metrics.meters import Report, Snapshot
from core.metrics.requests import BUCKETS, Latencies

_PREFIX = "aura_ollama_"


def text_of(snapshot: Snapshot) -> bytes:
    """The text format 0.0.4. Takes some milliseconds."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        """Every family that has a sample."""
        families = (*_sidecar(), *_instances(self._snapshot.reports), *_gpus(self._snapshot))
        return [family for family in families if family.samples]


def _sidecar() -> Iterator[Metric]:
    build = GaugeMetricFamily(f"{_PREFIX}build_info", "The sidecar that tells this.", labels=["version"])
    build.add_metric([__version__], 1)
    yield build


_Values = Iterable[tuple[str, float | None]]
"""By instance."""


def _gauge(name: str, help: str, values: _Values) -> GaugeMetricFamily:
    family = GaugeMetricFamily(_PREFIX + name, help, labels=["instance"])
    for instance, value in values:
        if value is not None:
            family.add_metric([instance], value)
    return family


def _counter(name: str, help: str, values: _Values) -> CounterMetricFamily:
    family = CounterMetricFamily(_PREFIX + name, help, labels=["instance"])
    for instance, value in values:
        if value is not None:
            family.add_metric([instance], value)
    return family


def _instances(reports: tuple[Report, ...]) -> Iterator[Metric]:
    statuses = [(report.now.instance, report.now.status) for report in reports]
    is_up = ((instance, status.is_running and status.error is None) for instance, status in statuses)
    yield _gauge("up", "Whether an Ollama answers.", is_up)
    yield _gauge("managed", "Whether its process is ours.", ((one, status.is_managed) for one, status in statuses))
    yield from _processes(reports)
    yield from _models(reports)
    yield from _requests(reports)
    yield from _starts(reports)
    yield from _canaries(reports)


def _processes(reports: tuple[Report, ...]) -> Iterator[Metric]:
    trees = [(report.now.instance, report.now.tree) for report in reports if report.now.tree is not None]
    yield _gauge("processes", "Processes of Ollama and its runners.", ((one, tree.processes) for one, tree in trees))
    memory = ((one, tree.memory) for one, tree in trees)
    yield _gauge("process_resident_memory_bytes", "Resident memory of all of them.", memory)
    used = ((one, tree.cpu_seconds) for one, tree in trees)
    yield _counter("process_cpu_seconds", "Processor time of all of them, ended ones too.", used)
    yield _gauge("process_threads", "Threads of all of them.", ((one, tree.threads) for one, tree in trees))
    yield _gauge("process_open_files", "Open files of all of them.", ((one, tree.open_files) for one, tree in trees))
    started = ((one, tree.started_at) for one, tree in trees)
    yield _gauge("process_start_time_seconds", "Unix time of the start of ollama serve.", started)
    known = ((one, None if tree.runners is None else len(tree.runners)) for one, tree in trees)
    yield _gauge("runners", "Model runners.", known)


def _models(reports: tuple[Report, ...]) -> Iterator[Metric]:
    memory, threads, size, vram = (
        GaugeMetricFamily(_PREFIX + name, help, labels=["instance", "model"])
        for name, help in (
            ("runner_resident_memory_bytes", "Resident memory of a model's runners."),
            ("runner_threads", "Threads of a model's runners."),
            ("model_size_bytes", "What a loaded model takes, as Ollama says."),
            ("model_vram_bytes", "What of it is on graphics processors, as Ollama says."),
        )
    )
    for report in reports:
        # A label that is empty is one that is absent.
        for model in sorted({runner.model or "" for runner in report.now.runners}):
            runners = [runner for runner in report.now.runners if (runner.model or "") == model]
            memory.add_metric([report.now.instance, model], sum(runner.memory for runner in runners))
            threads.add_metric([report.now.instance, model], sum(runner.threads for runner in runners))
        for name, loaded in {model.name: model for model in report.now.loaded or ()}.items():
            size.add_metric([report.now.instance, name], loaded.size)
            vram.add_metric([report.now.instance, name], loaded.size_vram)
    yield from (memory, threads, size, vram)


def _requests(reports: tuple[Report, ...]) -> Iterator[Metric]:
    durations = HistogramMetricFamily(
        f"{_PREFIX}request_duration_seconds",
        "Requests that Ollama has answered, by route and class of status. Those of the sidecar are left out.",
        labels=["instance", "route", "status"],
    )
    for report in reports:
        for (route, status), latencies in report.latencies.items():
            durations.add_metric([report.now.instance, route, status], *_buckets(latencies))
    yield durations
    gaps = ((report.now.instance, report.gaps) for report in reports)
    yield _counter("request_log_gaps", "How often log lines were deleted before they were counted.", gaps)


def _starts(reports: tuple[Report, ...]) -> Iterator[Metric]:
    pulled = ((report.now.instance, report.pulled) for report in reports)
    yield _counter("pull_bytes", "What pulls of models have brought.", pulled)
    restarts = ((report.now.instance, report.now.restarts) for report in reports)
    yield _counter("restarts", "Restarts after crashes.", restarts)
    crashes = ((report.now.instance, report.crashes) for report in reports)
    yield _counter("crashes", "Crashes of a managed Ollama that ran.", crashes)
    yield _counter("start_failures", "Starts that failed.", ((one.now.instance, one.failed_starts) for one in reports))
    durations = HistogramMetricFamily(
        f"{_PREFIX}start_duration_seconds", "From the wish to the first answer.", labels=["instance"]
    )
    for report in reports:
        durations.add_metric([report.now.instance], *_buckets(report.starts))
    yield durations
    exits = [(report.now.instance, report.now.status.last_exit) for report in reports]
    codes = ((instance, exit.code) for instance, exit in exits if exit)
    yield _gauge("last_exit_code", "How it ended last: an exit code, or less than zero for a signal.", codes)


def _canaries(reports: tuple[Report, ...]) -> Iterator[Metric]:
    found = [(report.now.instance, report.canary) for report in reports if report.canary]
    stuck = ((instance, canary.stuck is not None) for instance, canary in found)
    yield _gauge("stuck", "Whether it answers and generates nothing.", stuck)
    checks = CounterMetricFamily(
        f"{_PREFIX}canary_checks", "Looks of the canary by what they showed.", labels=["instance", "result"]
    )
    answers = HistogramMetricFamily(
        f"{_PREFIX}canary_duration_seconds", "How long one token took.", labels=["instance", "model"]
    )
    for instance, canary in found:
        for verdict, count in canary.verdicts.items():
            checks.add_metric([instance, verdict], count)
        answers.add_metric([instance, canary.model], *_buckets(canary.answers))
    yield from (checks, answers)
    tokens = ((instance, canary.first_token) for instance, canary in found)
    yield _gauge("canary_first_token_seconds", "Time to the first token of its last answer, as Ollama says.", tokens)


def _buckets(latencies: Latencies) -> tuple[list[tuple[str, float]], float]:
    """Counts up to each limit, as the format wants them, and the sum of seconds."""
    limits = [*map(str, BUCKETS), "+Inf"]
    return list(zip(limits, accumulate(latencies.counts, initial=None), strict=True)), latencies.seconds


def _gpus(snapshot: Snapshot) -> Iterator[Metric]:
    families = {
        "memory_total": ("gpu_memory_bytes", "Memory of a graphics processor."),
        "memory_used": ("gpu_memory_used_bytes", "What of it is in use, by any program."),
        "busy": ("gpu_busy_ratio", "Share of time in which it worked, from 0 to 1."),
        "temperature": ("gpu_temperature_celsius", "Its temperature."),
        "power": ("gpu_power_watts", "What it draws."),
    }
    for attribute, (name, help) in families.items():
        family = GaugeMetricFamily(_PREFIX + name, help, labels=["gpu", "name", "vendor"])
        for gpu in snapshot.gpus:
            value: float | None = getattr(gpu, attribute)
            if value is not None:
                family.add_metric([gpu.id, gpu.name, gpu.vendor], value)
        yield family
