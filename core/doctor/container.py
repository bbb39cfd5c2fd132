"""The check of the container that `owner` names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from core.doctor.case import Case
from core.doctor.finding import Finding, Severity
from core.endpoint import bracketed
from core.logs.redact import secrets_of
from core.settings.owner import parse

_SECONDS = 3.0
"""What the engines get to answer: less than a check, so that their silence is a finding."""


async def published(case: Case) -> Iterable[Finding]:
    """The container is there, and its Ollama is published at `ollamaUrl`, for this machine alone."""
    chosen = (await case.settings()).sidecar.owner
    if parse(chosen)[0] != "container":
        return []
    deadline = asyncio.get_running_loop().time() + _SECONDS
    # Brings the library for engines along, which who has no container does not need.
    from core.owners.container.engine import Engine, EngineFault, sockets
    from core.owners.container.facts import places_in_words
    from core.owners.container.owner import ContainerOwner
    from core.owners.container.running import how_to_publish

    endpoint = await case.endpoint()
    try:
        try:
            async with asyncio.timeout_at(deadline):
                _, container = await ContainerOwner(case.paths, chosen).located()
        except TimeoutError:
            places = " and ".join(Engine(url).place for url in await sockets())
            raise EngineFault(
                f"There is no word from {places} within {_SECONDS:g} s.",
                "Restart the container engine; its containers may run on meanwhile.",
            ) from None
    except EngineFault as fault:
        title = "The container cannot be controlled"
        return [Finding("container_unknown", Severity.BROKEN, title, fault.message, fault.action)]
    case.secrets.update(secrets_of(container.environment))
    found = []
    if container.answers(endpoint) is False:
        found.append(
            Finding(
                "container_elsewhere",
                Severity.BROKEN,
                "The container is published elsewhere",
                f"The container {container.name} does not publish its Ollama at {endpoint.base_url}, but at "
                f"{places_in_words(container)}.",
                how_to_publish(container, endpoint.base_url),
            )
        )
    if exposed := container.exposed_at():
        places = " and ".join(f"{bracketed(place.host)}:{place.port}" for place in exposed)
        found.append(
            Finding(
                "container_exposed",
                Severity.WARNING,
                "Others on the network can use Ollama",
                f"The container {container.name} has its Ollama at {places}: whoever reaches this machine there may "
                "use it, read its models and delete them. Ollama asks for no password.",
                how_to_publish(container, f"http://127.0.0.1:{exposed[0].port}", is_moved=False),
            )
        )
    return found
