"""The description is true: schemathesis calls what it describes, on a live sidecar, with every check on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from aiohttp import web

from api.hooks import HEADLESS
from api.openapi import Text, answers, document
from api.routes.table import Routes
from api.schemas import StartedBody, StoppedBody
from core import sidecar as core_of
from core.settings.paths import Paths
from tests.api.test_server import Place
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call

# The package has no `-m`, and its script need not be on the path.
RUN = "from schemathesis.cli import schemathesis; schemathesis()"
CONFIGURATION = """
# Streams do not end by themselves.
[[operations]]
include-path = ["/api/ollama/events", "/api/ollama/logs/stream"]
request-timeout = 0.3
max-stream-events = 2

# It waits for 20 s by default, and 503 is its answer while Ollama is down: the Aura app reads it so.
[[operations]]
include-path = "/api/ollama/wait"
parameters = { "query.maxRetries" = 1 }
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", 503]

# 400 is also what Aura's backend answers where a model cannot be pulled; 403 is for a registry that is not allowed.
[[operations]]
include-path = "/api/ollama/models/{model}/pull"
checks.positive_data_acceptance.expected-statuses = [200, 202, 400, 403]

# 400 is for names that no setting has, 403 for settings that ask for the token.
[[operations]]
include-path = "/api/ollama/settings"
checks.positive_data_acceptance.expected-statuses = [200, 400, 403]

# 404 is for an instance that there is not.
[[operations]]
include-path = [
    "/api/ollama/instances/{instance}",
    "/api/ollama/instances/{instance}/start",
    "/api/ollama/instances/{instance}/stop",
    "/api/ollama/instances/{instance}/restart",
]
checks.positive_data_acceptance.expected-statuses = [200, 404, 409]

# What is deleted is a download; the job goes on telling how it ended.
[[operations]]
include-path = "/api/ollama/jobs/{job}"
checks.use_after_free.enabled = false

# 400 is also what Aura's backend answers where a model cannot be deleted.
[[operations]]
include-path = "/api/ollama/models/{model}"
checks.positive_data_acceptance.expected-statuses = [200, 400, 409]
"""
EXAMPLES = int(os.environ.get("AURA_SCHEMATHESIS_EXAMPLES", "15"))


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    """The product in a process of its own, on a stand-in that starts at once."""
    with Place(tmp_path).sidecar() as running:
        yield running


def table() -> list[web.RouteDef]:
    """Every route there is."""
    return Routes(core_of.Sidecar(Paths(Path("nowhere"))), HEADLESS).table()


def test_it_describes_every_route_and_no_other() -> None:
    described = json.loads(document(table()))
    found = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    assert found == {(route.method, route.path) for route in table()}
    assert described["openapi"] == "3.1.0"


def test_it_tells_the_statuses_and_the_media_types_that_a_route_answers_with() -> None:
    class Routed:
        @answers({200: StoppedBody, 202: StartedBody, 204: None})
        async def several(self, request: web.Request) -> web.Response:
            """Several ways to succeed."""
            return web.Response(status=204)

        @answers(Text("text/plain"))
        async def plain(self, request: web.Request) -> web.Response:
            """No JSON."""
            return web.Response(text="a 1")

    described = json.loads(document([web.post("/several", Routed().several), web.get("/plain", Routed().plain)]))
    several = described["paths"]["/several"]["post"]["responses"]
    assert several.keys() >= {"200", "202", "204", "415"}
    assert several["202"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/StartedBody"}
    assert "content" not in several["204"]
    plain = described["paths"]["/plain"]["get"]["responses"]["200"]
    assert plain["content"] == {"text/plain": {"schema": {"type": "string"}}}


def test_it_tells_what_a_stream_sends_and_how_a_reader_comes_back() -> None:
    events = json.loads(document(table()))["paths"]["/api/ollama/events"]["get"]
    schema = {"$ref": "#/components/schemas/ServerEventBody"}
    assert events["responses"]["200"]["content"] == {"text/event-stream": {"schema": schema}}
    places = {(parameter["in"], parameter["name"]) for parameter in events["parameters"]}
    assert places == {("query", "types"), ("query", "since"), ("header", "Last-Event-ID")}


def test_a_route_that_says_nothing_of_itself_cannot_be_served() -> None:
    async def silent(request: web.Request) -> web.Response:
        return web.Response()

    with pytest.raises(LookupError, match="/silent"):
        document([*table(), web.get("/silent", silent)])


def test_it_is_served_to_those_only_whom_the_access_checks_let_in(sidecar: Sidecar) -> None:
    assert call("GET", f"{sidecar.url}/openapi.json").json == json.loads(document(table()))
    for headers in ({"Origin": "http://evil.com"}, {"Host": "evil.com"}, {"Sec-Fetch-Site": "cross-site"}):
        assert call("GET", f"{sidecar.url}/openapi.json", headers=headers).status == 403


def test_allow_names_every_method_that_a_url_has(sidecar: Sidecar) -> None:
    """Those of each path that fits it: `models/loaded` can also be deleted, as a model of that name."""
    for url in {re.sub(r"{\w+}", "x", route.path) for route in table()}:
        fitting = {route.method for route in table() if re.fullmatch(re.sub(r"{\w+}", "[^/]+", route.path), url)}
        expected = fitting | ({"HEAD"} if "GET" in fitting else set())
        connection = HTTPConnection("127.0.0.1", int(sidecar.url.rpartition(":")[2]), timeout=8)
        with contextlib.closing(connection):
            connection.request("OPTIONS", url)
            answer = connection.getresponse()
        assert answer.status == 405, url
        assert set((answer.headers["Allow"] or "").split(",")) == expected, url


# Hundreds of calls, starts and stops among them.
@pytest.mark.timeout(120)
def test_schemathesis_finds_no_fault(sidecar: Sidecar, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    command = [sys.executable, "-X", "utf8", "-c", RUN, "run", f"{sidecar.url}/openapi.json"]
    # Asked above: of two paths that fit one URL, such as models/loaded and models/{model}, it knows one.
    command += ["--exclude-checks", "allow_header_conformance"]
    command += ["--checks", "all", "--max-examples", str(EXAMPLES), "--seed", "1", "--no-color", "--mode", "all"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert call("GET", f"{sidecar.url}/api/ollama/status").status == 200
    assert "Traceback" not in sidecar.errors.read_text()
