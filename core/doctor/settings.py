"""Checks of what the user has set: both settings files, the token, and variables of the environment."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from urllib.request import getproxies_environment, proxy_bypass

from core.doctor.case import Case
from core.doctor.finding import Finding, Severity
from core.endpoint import Endpoint
from core.errors import WAYS_OUT, ConfigError, os_error_in_words
from core.settings import owner
from core.settings.schema import exposure

_OUR_HOSTS = ("127.0.0.1", "localhost")
_PROXIES = ("http", "all")


async def files(case: Case) -> Iterable[Finding]:
    """Both files can be used, `ollamaUrl` is an address, and `owner` can be had on this system."""
    reading = await case.reading.get()
    # If the disk is silent neither file was read, and the reading says so.
    problems = case.reader.problems or ((reading.problem,) if reading.problem else ())
    found = [Finding.of(problem) for problem in problems]
    try:
        Endpoint.parse(reading.settings.ollama_url)
    except ConfigError as error:
        found.append(Finding.of(error))
    if elsewhere := owner.not_here(reading.settings.sidecar.owner):
        found.append(Finding.of(elsewhere))
    if exposed := exposure(reading.settings.sidecar):
        found.append(
            Finding(
                "host_needs_token",
                Severity.BROKEN,
                "The sidecar would be open to other machines",
                f"{exposed.message}: the sidecar does not start like this.",
                f"{exposed.action} Both are in {case.paths.sidecar}.",
            )
        )
    return found


async def secret(case: Case) -> Iterable[Finding]:
    """The token can be read, by this user alone."""
    try:
        await case.token.get()
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
        message = os_error_in_words(error)
        if error.errno in (errno.EPERM, errno.EINVAL):
            return [
                Finding(
                    "token_unsafe",
                    Severity.WARNING,
                    "The token is not used",
                    message,
                    "A new one takes its place when the sidecar reads it; or make one: "
                    f"aura-ollama --rotate-token{case.paths.option}",
                )
            ]
        way_out = WAYS_OUT.get(error.errno or 0) or f"Make {case.paths.run / 'token'} yours and readable, or delete it."
        return [Finding("token_unreadable", Severity.BROKEN, "The token cannot be read", message, way_out)]
    return []


async def proxies(case: Case) -> Iterable[Finding]:
    """No proxy variable has programs ask a proxy for what is on this machine."""
    names = [
        name for name, value in os.environ.items() if value and name.lower() in {f"{way}_proxy" for way in _PROXIES}
    ]
    caught = [host for host in _OUR_HOSTS if not proxy_bypass(host)]
    # A variable may count for nothing, as HTTP_PROXY does within CGI programs.
    if not caught or not names or not any(getproxies_environment().get(way) for way in _PROXIES):
        return []
    return [
        Finding(
            "proxy_catches_loopback",
            Severity.WARNING,
            "A proxy is asked for this machine",
            f"{' and '.join(sorted(names))} {'are' if len(names) > 1 else 'is'} set, and no_proxy does not name "
            f"{' and '.join(caught)}: programs that obey such variables send calls of Ollama and the sidecar to the "
            "proxy. (This program does not.)",
            f"Add to the variable no_proxy, beside what it names already: {','.join((*_OUR_HOSTS, '::1'))}",
        )
    ]
