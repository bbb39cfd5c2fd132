"""All checks, run side by side. The whole takes 5 s at most, also if every disk and every port hangs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace

from core.doctor import container, data_folder, desktop, models, ollama, service, settings, sidecar
from core.doctor.case import Case
from core.doctor.finding import NOT_CHECKED, Finding, NotChecked, Severity
from core.doctor.report import Report
from core.errors import os_error_in_words
from core.logs.redact import Redactor
from core.settings.paths import Paths
from core.text import spelt_out
from core.threads import single_flight

log = logging.getLogger(__name__)

SECONDS = 4.5
"""What each check may take; they run at the same time."""


@dataclass(frozen=True, slots=True)
class Check:
    """`name` says what is looked at; `run` returns what is wrong, or raises NotChecked, an OSError or the like."""

    name: str
    run: Callable[[Case], Awaitable[Iterable[Finding]]]


CHECKS = (
    Check("the sidecar", sidecar.runs),
    Check("the state of Ollama", sidecar.ollama_state),
    Check("the sidecar's port", sidecar.port),
    Check("the settings", settings.files),
    Check("the token", settings.secret),
    Check("the data folder", data_folder.folder),
    Check("the data folder's disk", data_folder.disk),
    Check("the clock", data_folder.clock),
    Check("Ollama's program", ollama.executable),
    Check("Ollama's version", ollama.version),
    Check("Ollama's port", ollama.port),
    Check("the container", container.published),
    Check("the service", service.controlled),
    Check("other Ollamas on this machine", ollama.rivals),
    Check("the models of the settings", models.named),
    Check("the folder of the models", models.folder),
    Check("the log's size", data_folder.logs),
    Check("proxy variables", settings.proxies),
    Check("the graphics card", desktop.gpu),
    Check("the tray", desktop.tray),
)


async def examine(paths: Paths, *, checks: tuple[Check, ...] = CHECKS, seconds: float = SECONDS) -> Report:
    """What is wrong with that data folder and the machine around it, worst first. No fault makes it raise."""
    async with asyncio.TaskGroup() as searches:
        case = Case(paths, searches)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(_outcome(check, case, seconds)) for check in checks]
        case.close()
    findings: list[Finding] = []
    reasons: dict[str, list[str]] = {}
    done: list[str] = []
    for check, task in zip(checks, running, strict=True):
        outcome = task.result()
        if isinstance(outcome, str):
            reasons.setdefault(outcome, []).append(check.name)
        else:
            findings += outcome
            done.append(check.name)
    findings += [_not_checked(names, why) for why, names in reasons.items()]
    starred = Redactor(sorted(case.secrets, key=len, reverse=True))
    severities = list(Severity)
    # Sorting keeps the order of the checks among findings of one severity.
    findings.sort(key=lambda finding: severities.index(finding.severity))
    return Report(tuple(_redacted(finding, starred) for finding in findings), tuple(done))


def _redacted(finding: Finding, starred: Redactor) -> Finding:
    def clean(text: str) -> str:
        return starred(spelt_out(text).encode()).decode("utf-8", "replace")

    action = clean(finding.action) if finding.action else None
    return replace(finding, message=clean(finding.message), action=action)


def examined(paths: Paths) -> Report:
    """As `examine`, for a caller without a loop. Waits for no thread that hangs."""
    return single_flight.run(examine(paths))


def _not_checked(names: list[str], why: str) -> Finding:
    return Finding(NOT_CHECKED, Severity.NOTE, "Not checked", f"Could not be checked: {', '.join(names)}, since {why}.")


async def _outcome(check: Check, case: Case, seconds: float) -> list[Finding] | str:
    """What the check finds, or why it cannot be made."""
    try:
        async with asyncio.timeout(seconds):
            return list(await check.run(case))
    except NotChecked as reason:
        return str(reason)
    except TimeoutError:
        return "there was no answer in time"
    except OSError as error:
        return f"the system says: {os_error_in_words(error)}"
    except Exception as error:
        # A check meets a system that is broken in ways that nobody foresaw, and must not hide what the others find.
        log.debug("the check of %s failed", check.name, exc_info=True)
        return f"it failed with {type(error).__name__}"
