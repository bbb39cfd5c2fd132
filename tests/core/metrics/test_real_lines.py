"""Ten thousand lines that a real Ollama printed, counted against what was asked."""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from core.metrics.gin import requests_in
from core.metrics.requests import RequestCounts
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import OllamaServer, copy_models

REQUESTS = 10_000
_JSON = {"Content-Type": "application/json"}
_CASES = (
    ("GET", "/api/version", None, "/api/version", 200),
    ("GET", "/", None, "/", 200),
    ("HEAD", "/", None, "/", 200),
    ("GET", "/api/tags", None, "/api/tags", 200),
    ("GET", "/api/ps?x=1", None, "/api/ps", 200),
    ("POST", "/api/show", {"model": "none"}, "/api/show", 404),
    ("POST", "/api/generate", {"model": "none"}, "/api/generate", 404),
    ("POST", "/api/chat", {"model": 5}, "/api/chat", 400),
    ("GET", "/v1/models", None, "/v1/models", 200),
    ("GET", "/v1/models/none", None, "/v1/models", 404),
    ("GET", "/made/up/%22%0A%5BGIN%5D", None, "other", 404),
    ("DELETE", "/api/delete", {"model": "none"}, "/api/delete", 404),
    ("HEAD", "/api/blobs/sha256:" + "0" * 64, None, "/api/blobs", 404),
)


@pytest.mark.timeout(300)  # ten thousand calls, one after the other
def test_ten_thousand_real_lines_say_what_was_asked(tmp_path: Path) -> None:
    """Each once, with its route, its status, and no longer than it took here."""
    copy_models(tmp_path / "models")
    asked: Counter[tuple[str, int]] = Counter()
    took = 0.0
    with OllamaServer(tmp_path, executable=require(ollama).executable) as server:
        already = _lines(server.log)
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30.0)) as connection:
            for number in range(REQUESTS):
                method, path, body, route, status = _CASES[number % len(_CASES)]
                began = time.monotonic()
                connection.request(method, path, json.dumps(body) if body else None, _JSON)
                response = connection.getresponse()
                response.read()
                took += time.monotonic() - began
                assert response.status == status, (method, path, response.status)
                asked[route, status] += 1
        deadline = time.monotonic() + 10
        while _lines(server.log) < already + REQUESTS and time.monotonic() < deadline:
            time.sleep(0.05)
        content = server.log.read_bytes()
    found = list(requests_in(content))[already:]
    assert len(found) == REQUESTS
    counts = RequestCounts()
    counts.add(found)
    told: Counter[tuple[str, str]] = Counter()
    for (route, status), number in asked.items():
        told[route, f"{status // 100}xx"] += number
    assert {key: latencies.count for key, latencies in counts.latencies.items()} == told
    assert Counter(request.status for request in found) == Counter(
        {status: sum(number for (_, each), number in asked.items() if each == status) for _, status in asked}
    )
    assert {request.client for request in found} == {"127.0.0.1"}
    assert 0 < sum(request.seconds for request in found) < took


def _lines(log: Path) -> int:
    return log.read_bytes().count(b"[GIN] ")
