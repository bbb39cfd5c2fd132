"""Checks of the sidecar itself: does it run, is it this program's own, what does it say, and is its port free?"""

from __future__ import annotations

from collections.abc import Iterable

from core import __version__
from core.doctor.case import Case
from core.doctor.finding import Finding, NotChecked, Severity
from core.doctor.sidecar_view import Presence
from core.endpoint import Endpoint, bracketed
from core.ollama.listener import find_listener
from core.threads.single_flight import within

_TABLE_SECONDS = 2.0
_FAILED = ("failed", "backoff")


async def runs(case: Case) -> Iterable[Finding]:
    """The sidecar of this data folder answers, and is of this program's version."""
    seen = await case.sidecar.get()
    match seen.presence:
        case Presence.ABSENT:
            return [
                Finding(
                    "sidecar_not_running",
                    Severity.WARNING,
                    "The sidecar does not run",
                    f"No sidecar serves {case.paths.data}, so Aura cannot start or stop Ollama.",
                    _start(case),
                )
            ]
        case Presence.DEAD:
            return [
                Finding(
                    "sidecar_died",
                    Severity.BROKEN,
                    "The sidecar has died",
                    f"The sidecar that served {case.paths.data} (pid {seen.pid}, {seen.url}) was killed or crashed.",
                    f"{_start(case)}. Its log may say why: {case.paths.logs.parent / 'sidecar.log'}",
                )
            ]
        case Presence.SILENT:
            return [
                Finding(
                    "sidecar_not_answering",
                    Severity.BROKEN,
                    "The sidecar does not answer",
                    f"The sidecar at {seen.url} (pid {seen.pid}) lives and does not answer: {seen.why}",
                    f"End process {seen.pid}, and start it anew. Ollama goes on meanwhile. {_start(case)}",
                )
            ]
        case Presence.ANSWERS:
            pass
    if not seen.version:
        raise NotChecked(f"the sidecar at {seen.url} does not tell its version: {seen.why}")
    if seen.version != __version__:
        return [
            Finding(
                "sidecar_version",
                Severity.WARNING,
                "The sidecar is of another version",
                f"The sidecar that runs (pid {seen.pid}) is version {seen.version}, and this program is {__version__}.",
                "Quit it from its icon, or end that process, and start it anew; the new one takes Ollama over.",
            )
        ]
    return []


def _start(case: Case) -> str:
    # Started without its name, a sidecar would serve the usual folder.
    folder = case.paths.option
    return f"Start it with: aura-ollama{folder} (or, without a desktop: aura-ollama run --headless{folder})"


async def ollama_state(case: Case) -> Iterable[Finding]:
    """The sidecar has not given Ollama up."""
    seen = await case.sidecar.get()
    if seen.presence is not Presence.ANSWERS:
        # That is a finding of its own.
        return []
    if seen.status is None:
        raise NotChecked(f"the sidecar does not tell how Ollama is: {seen.why}")
    if seen.status.state not in _FAILED:
        return []
    why = seen.status.reason or seen.status.error or "it does not say why"
    logs = f"See its last words: aura-ollama logs -n 50{case.paths.option}"
    return [
        Finding("ollama_failed", Severity.BROKEN, "Ollama could not be kept running", why, seen.status.action or logs)
    ]


async def port(case: Case) -> Iterable[Finding]:
    """Nobody else holds the port at which the sidecar would listen."""
    seen = await case.sidecar.get()
    if seen.presence in (Presence.ANSWERS, Presence.SILENT):
        return []
    own = (await case.settings()).sidecar
    endpoint = Endpoint.parse(f"http://{bracketed(own.host)}:{own.port}") if own.port else None
    found = await within(_TABLE_SECONDS, "listeners", lambda: find_listener(endpoint) if endpoint else None)
    if found is None:
        return []
    return [
        Finding(
            "sidecar_port_in_use",
            Severity.BROKEN,
            "The sidecar's port is in use",
            f"Port {own.port}, at which the sidecar would listen, is held by {found.owner}.",
            f"{found.by_hand} Or choose another port: `port` in {case.paths.sidecar.name}.",
        )
    ]
