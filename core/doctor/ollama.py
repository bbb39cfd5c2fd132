"""Checks of Ollama: the program, its version, the port, and what else starts an Ollama on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from core.doctor.case import Case
from core.doctor.finding import Finding, NotChecked, Severity
from core.endpoint import Endpoint
from core.errors import CoreError, PathNotConfigured
from core.ollama.probe import Answer
from core.ollama.program import why_not
from core.platform.autostarted import starters
from core.settings.owner import PROCESS
from core.supervision import preflight
from core.text import in_sentences
from core.threads.single_flight import within

DEFAULT_PORT = 11434
_UPDATE = "Update Ollama: https://ollama.com/download"
# The release that brought /api/ps, without which nobody can tell what is in memory:
# https://github.com/ollama/ollama/releases/tag/v0.1.38
_OLDEST = (0, 1, 38)
# The release that brought OLLAMA_CONTEXT_LENGTH: https://github.com/ollama/ollama/releases/tag/v0.5.13
_WITH_CONTEXT = (0, 5, 13)
_VERSION = re.compile(r"version(?: is)?:? v?(\d+\.\d+\.\d+)|^v?(\d+\.\d+\.\d+)", re.MULTILINE)
_SEARCH_SECONDS = 2.0


async def executable(case: Case) -> Iterable[Finding]:
    """There is an Ollama to start, and the system can run it. What another owner controls has a program of its own."""
    if (await case.settings()).sidecar.owner != PROCESS:
        return []
    found = await case.executable.get()
    if isinstance(found, CoreError):
        is_served = await case.is_answering() and isinstance(found, PathNotConfigured)
        # An Ollama that somebody else runs does, until it is to be started here.
        severity = Severity.WARNING if is_served else Severity.BROKEN
        way_out = in_sentences(found.action, _install(case)) if found.action else _install(case)
        return [Finding(found.code, severity, found.title, found.message, way_out)]
    try:
        await case.installed_version.get()
    except OSError as error:
        why = await within(_SEARCH_SECONDS, "program", lambda: why_not(found)) or error.strerror or str(error)
        message = f"Ollama path {found} cannot be run: {why}"
        return [Finding("path_invalid", Severity.BROKEN, "Ollama path is invalid", message, _install(case))]
    return []


async def version(case: Case) -> Iterable[Finding]:
    """The Ollama that answers, or the one that would be started, is new enough."""
    told = (await case.probe.get()).version if await case.is_answering() else await case.installed_version.get()
    match = _VERSION.search(told or "")
    if match is None:
        raise NotChecked("Ollama does not tell a version")
    text = match[1] or match[2]
    number = tuple(map(int, text.split(".")))
    if number == (0, 0, 0):
        raise NotChecked("this Ollama was built without a version")
    if number < _OLDEST:
        message = (
            f"Ollama is version {text}; {_dotted(_OLDEST)} is the oldest that can tell which models are in memory."
        )
        return [Finding("ollama_too_old", Severity.BROKEN, "Ollama is too old", message, _UPDATE)]
    if number < _WITH_CONTEXT:
        message = f"Ollama is version {text}, which knows no default length of the context: ollamaNumCtx has no effect."
        return [Finding("ollama_old", Severity.WARNING, "Ollama is old", message, _UPDATE)]
    return []


def _dotted(number: tuple[int, ...]) -> str:
    return ".".join(map(str, number))


async def port(case: Case) -> Iterable[Finding]:
    """At `ollamaUrl` our Ollama answers, or nobody who would keep it from doing so."""
    endpoint = await case.endpoint()
    seen = await case.probe.get()
    if seen.answer is Answer.NOT_ASKED:
        raise NotChecked(seen.reason or "Ollama could not be asked")
    if not endpoint.is_manageable:
        return [] if seen.answer is Answer.OLLAMA else [_remote(endpoint, seen.reason)]
    if seen.answer is Answer.NOBODY:
        return []
    if (own := await case.own_pid.get()) is not None:
        return [] if seen.answer is Answer.OLLAMA else [Finding.of(preflight.not_answering(own))]
    listener = await case.listener.get()
    if seen.answer is Answer.OLLAMA:
        if listener and listener.offer == (await case.settings()).sidecar.owner:
            return []
        error = preflight.already_running(listener)
        way_out = in_sentences(error.action or "", _control(case, listener.offer if listener else None)).strip() or None
        return [replace(Finding.of(error, Severity.WARNING), action=way_out)]
    if listener and listener.is_ollama:
        return [Finding.of(preflight.already_running(listener, is_hanging=True))]
    return [Finding.of(preflight.port_in_use(endpoint.port, listener))]


def _remote(endpoint: Endpoint, why: str | None) -> Finding:
    error = preflight.remote(endpoint)
    message = in_sentences(error.message, f"No Ollama answers there: {why or 'it is silent'}")
    return Finding(error.code, Severity.BROKEN, error.title, message, error.action)


async def rivals(case: Case) -> Iterable[Finding]:
    """Nothing else on this machine starts an Ollama at the same port by itself."""
    endpoint = await case.endpoint()
    if not endpoint.is_local or endpoint.port != DEFAULT_PORT:
        # Where theirs listens otherwise is not known, and that it is just here would be chance.
        return []
    chosen = (await case.settings()).sidecar.owner
    return [
        Finding(
            "rival",
            Severity.WARNING,
            "Something else starts an Ollama too",
            f"{starter.name[0].upper()}{starter.name[1:]} starts an Ollama by itself, and takes port {endpoint.port}.",
            in_sentences(f"{starter.way_out}. Or set another port in ollamaUrl.", _control(case, starter.owner)),
        )
        for starter in await within(_SEARCH_SECONDS, "starters", starters)
        if starter.owner != chosen
    ]


def _install(case: Case) -> str:
    command = f"aura-ollama settings set ollamaExecutablePath PATH{case.paths.option}"
    return f"Install Ollama (https://ollama.com/download), or say where it is: {command}"


def _control(case: Case, owner: str | None) -> str | None:
    if owner is None:
        return None
    return f"Or have aura-ollama control it: aura-ollama settings set owner {owner}{case.paths.option}"
