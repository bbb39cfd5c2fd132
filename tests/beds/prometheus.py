"""A real Prometheus that scrapes one target: Debian's package `prometheus`."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.beds import BedMissing
from tests.beds.wire import call, free_port

_READY_SECONDS = 20.0
_CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: aura-ollama
    honor_labels: true
    static_configs: [{{targets: ["{target}"]}}]
"""


def promtool() -> str:
    """The path of its tool that checks metrics and rules. Raises `BedMissing`."""
    if found := shutil.which("promtool"):
        return found
    raise BedMissing("there is no promtool: install Debian's package prometheus")


class Prometheus:
    """One that runs; `query` asks it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expression: str) -> dict[str, float]:
        """The values of an instant vector by their label `instance`, empty for one without it."""
        answer = call("GET", f"{self.url}/api/v1/query?query={urllib.parse.quote(expression)}").json
        data = answer["data"]
        assert isinstance(data, dict), answer
        return {row["metric"].get("instance", ""): float(row["value"][1]) for row in data["result"]}


@contextmanager
def prometheus(folder: Path, target: str, rules: Path) -> Iterator[Prometheus]:
    """Scrapes `target` (HOST:PORT) each second until the block ends. Raises `BedMissing` where there is none."""
    program = shutil.which("prometheus")
    if program is None:
        raise BedMissing("there is no prometheus: install Debian's package of that name")
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "prometheus.yml"
    config.write_text(_CONFIG.format(target=target, rules=rules))
    port = free_port()
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    log = folder / "prometheus.log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            deadline = time.monotonic() + _READY_SECONDS
            while True:
                try:
                    if call("GET", f"http://127.0.0.1:{port}/-/ready", timeout=2.0).status == 200:
                        break
                except OSError:
                    pass
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"prometheus does not answer: {log.read_text()[-2000:]}")
                time.sleep(0.05)
            yield Prometheus(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
