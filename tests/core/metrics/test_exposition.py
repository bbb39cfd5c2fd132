"""The text that Prometheus reads: by the library's own parser, by promtool, and against what the documentation uses."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from core.metrics.canary import CanaryReport
from core.metrics.exposition import text_of
from core.metrics.instance import Now, RunnerNow
from core.metrics.meters import Report, Snapshot
from core.metrics.requests import BUCKETS, Latencies
from core.metrics.tree import Runner, Tree
from core.ollama.models import LoadedModel
from core.owners.exit import Exit
from core.platform.gpu import Gpu
from core.supervision.state import State, Status
from tests import tied
from tests.beds.prometheus import promtool
from tests.beds.require import require

DOCS = Path(__file__).parents[3] / "docs"
ODD = 'a"b\\c\nd é'


def _latencies(*seconds: float) -> Latencies:
    found = Latencies()
    for each in seconds:
        found.add(each)
    return found


def everything() -> Snapshot:
    """All that can be known, with a model whose name is as odd as a text can be."""
    status = Status(State.RUNNING, last_exit=Exit(-9, "killed", None), restarts=1)
    tree = Tree(9.0, 5.0, 2, 1.5, 0.5, 4096, 7, 20, (Runner(8, None, 0.5, 2048, 3),))
    runners = (RunnerNow(8, ODD, 0.5, 2048, 3), RunnerNow(9, None, None, 1024, 1))
    now = Now("default", 9.0, status, tree, runners, (LoadedModel(ODD, 4096, 1024),), 3, 0.5, 1)
    latencies = {("/api/chat", "2xx"): _latencies(0.1, 0.3, 5000.0)}
    canary = CanaryReport("tiny", {"answered": 2, "stuck": 1}, "It is stuck.", _latencies(0.1), 0.05)
    report = Report(now, (), 1.0, latencies, (), 0, _latencies(0.5), 1, 1, 7, canary)
    return Snapshot(9.0, (Gpu("GPU-1", "RTX", "nvidia", 8, 4, 0.5, 60.0, 100.0),), (report,))


def nothing() -> Snapshot:
    """As before the first look."""
    report = Report(Now("default", 9.0, Status(), None, (), None, 0, 0.0, 0), (), 1.0, {}, (), 0, Latencies(), 0, 0, 0)
    return Snapshot(9.0, (Gpu("card0", "AMD", "amd"),), (report,))


def samples(snapshot: Snapshot) -> dict[tuple[str, str], float]:
    """The values by name and model, or bucket."""
    families = text_string_to_metric_families(text_of(snapshot).decode())
    found = [sample for family in families for sample in family.samples]
    return {(one.name, one.labels.get("model", one.labels.get("le", ""))): one.value for one in found}


def test_what_is_known_is_told_and_any_name_survives() -> None:
    """Quotes, backslashes and line ends in a name are escaped; a runner of no known model has an empty label."""
    found = samples(everything())
    assert found["aura_ollama_up", ""] == 1
    assert found["aura_ollama_process_resident_memory_bytes", ""] == 4096
    assert found["aura_ollama_process_cpu_seconds_total", ""] == 1.5
    assert found["aura_ollama_runner_resident_memory_bytes", ODD] == 2048
    assert found["aura_ollama_runner_resident_memory_bytes", ""] == 1024
    assert found["aura_ollama_model_vram_bytes", ODD] == 1024
    assert found["aura_ollama_restarts_total", ""] == 1
    assert found["aura_ollama_pull_bytes_total", ""] == 7
    assert found["aura_ollama_last_exit_code", ""] == -9
    assert found["aura_ollama_gpu_busy_ratio", ""] == 0.5
    assert found["aura_ollama_stuck", ""] == 1
    assert found["aura_ollama_start_duration_seconds_count", ""] == 1


def test_buckets_add_up() -> None:
    """Each counts all that are not above it, as the format wants it; the last one counts all."""
    found = samples(everything())
    name = "aura_ollama_request_duration_seconds_bucket"
    values = [found[name, str(limit)] for limit in BUCKETS]
    assert values == [sum(seconds <= limit for seconds in (0.1, 0.3)) for limit in BUCKETS]
    assert found[name, "+Inf"] == 3
    assert found["aura_ollama_request_duration_seconds_sum", ""] == pytest.approx(5000.4)


def test_what_is_not_known_is_absent() -> None:
    """And what is counted is there from the beginning, as 0, so that its first rise is seen."""
    names = {name for name, _ in samples(nothing())}
    assert {"aura_ollama_up", "aura_ollama_restarts_total", "aura_ollama_build_info"} <= names
    assert not [name for name in names if re.search("process|runner|model|gpu|last_exit|stuck|canary", name)]
    tree = everything().reports[0].now.tree
    assert tree is not None
    now = replace(everything().reports[0].now, tree=replace(tree, open_files=None))
    unreadable = Snapshot(9.0, (), (replace(everything().reports[0], now=now),))
    assert ("aura_ollama_process_open_files", "") not in samples(unreadable)


@tied.linux("promtool is of Debian's package prometheus")
@pytest.mark.parametrize("snapshot", [everything(), nothing()])
def test_promtool_finds_nothing_to_say(snapshot: Snapshot) -> None:
    """Names, units, types and help texts are as Prometheus wants them."""
    command = [require(promtool), "check", "metrics"]
    done = subprocess.run(command, input=text_of(snapshot), capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@tied.linux("promtool is of Debian's package prometheus")
def test_promtool_takes_the_rules() -> None:
    command = [require(promtool), "check", "rules", str(DOCS / "monitoring" / "alerts.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert "SUCCESS: 3 rules found" in done.stdout


def test_what_the_documentation_uses_is_told_and_the_other_way_round() -> None:
    """Every metric of the rules and of the dashboard exists, and each has its line in the table."""
    told = {re.sub("_(bucket|sum|count)$", "", name) for name, _ in samples(everything())}
    dashboard = (DOCS / "monitoring" / "grafana-dashboard.json").read_text()
    rules = (DOCS / "monitoring" / "alerts.yml").read_text()
    used = {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"aura_ollama_\w+", rules + dashboard)}
    assert used <= told
    assert set(re.findall(r"^\| `(aura_ollama_\w+)", (DOCS / "monitoring.md").read_text(), re.MULTILINE)) == told
    panels = json.loads(dashboard)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["targets"] and panel["title"] for panel in panels)
