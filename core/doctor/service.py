"""The check of the service that `owner` names: a unit of systemd, a job of launchd, a service of Windows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from core.doctor.case import Case
from core.doctor.finding import Finding, Severity
from core.endpoint import Endpoint
from core.settings.owner import not_here, parse
from core.threads.single_flight import within

_SECONDS = 3.0
"""What a service manager gets to answer: less than a check, so that its silence is a finding."""


async def controlled(case: Case) -> Iterable[Finding]:
    """The service is there, can be asked about and started, and its Ollama listens at `ollamaUrl`."""
    chosen = (await case.settings()).sidecar.owner
    kind, _ = parse(chosen)
    # What is not to be had here, the check of the settings tells.
    if not_here(chosen) is not None:
        return []
    if kind in ("systemd", "systemd-user"):
        return await _unit(case, chosen)
    if kind in ("launchd", "windows-service"):
        return await _service(case, chosen)
    return []


async def _unit(case: Case, chosen: str) -> list[Finding]:
    deadline = asyncio.get_running_loop().time() + _SECONDS
    # Each kind brings along what only its users need.
    from core.owners.systemd.bus import BusTrouble, Refused, connected
    from core.owners.systemd.environment import EnvironmentFiles
    from core.owners.systemd.unit import look

    kind, name = parse(chosen)
    endpoint = await case.endpoint()
    try:
        async with asyncio.timeout_at(deadline), connected(is_user=kind == "systemd-user") as bus:
            unit = await look(bus, name, EnvironmentFiles(), is_user=kind == "systemd-user")
    except TimeoutError:
        return [_silent(f"systemd does not tell of {name} within {_SECONDS:g} s.")]
    except (BusTrouble, Refused) as trouble:
        return [_silent(str(trouble))]
    if why := unit.why_not_startable():
        return [Finding("service_unusable", Severity.BROKEN, "The service cannot be started", *why)]
    if not unit.listens_at(endpoint.base_url) and not unit.unread:
        return [_elsewhere(name, unit.url(), endpoint, unit.how_to_move(endpoint.base_url))]
    return []


async def _service(case: Case, chosen: str) -> list[Finding]:
    from core.owners.kinds import Owners
    from core.owners.services.manager import in_words
    from core.owners.services.owner import ServiceOwner, is_same

    endpoint = await case.endpoint()
    owner = Owners(case.paths).named(chosen)
    if not isinstance(owner, ServiceOwner):
        return []
    manager = owner.manager
    try:
        _, url = await within(_SECONDS, "service manager", lambda: (manager.look(), manager.url()))
    except OSError as error:
        return [_silent(*in_words(error))]
    if not is_same(url, endpoint.base_url):
        return [_elsewhere(manager.name, url, endpoint, manager.how_to_move(endpoint.base_url))]
    return []


def _silent(message: str, action: str | None = None) -> Finding:
    return Finding("service_unknown", Severity.BROKEN, "The service cannot be controlled", message, action)


def _elsewhere(name: str, url: str, endpoint: Endpoint, way_out: str) -> Finding:
    told = f"{name} listens at {url}, but ollamaUrl is {endpoint.base_url}."
    return Finding("service_elsewhere", Severity.BROKEN, "The service listens elsewhere", told, way_out)
