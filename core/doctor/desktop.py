"""Checks of the machine around: does anybody show the tray's icon, and does Ollama use the graphics card?"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from core.doctor.case import READ_SECONDS, Case
from core.doctor.finding import Finding, NotChecked, Severity
from core.logs.segments import Segment, listed, open_log
from core.models.gpu import detected
from core.platform import desktop
from core.platform.gpu import adapters, installed_gpus
from core.settings.reader import Settings
from core.threads.single_flight import within

_GPU_SECONDS = 3.0
_TRAY_SECONDS = 2.5
_LOG_BYTES = 128 << 10
_NAMES = {"nvidia": "NVIDIA", "amd": "AMD"}
_GPU_PAGE = "https://docs.ollama.com/gpu"
# What Ollama prints for each processor that it will compute on, at its start: discover/types.go of its sources.
_COMPUTES_ON = re.compile(rb'msg="inference compute"[^\n]*? library=(\w+)')


async def tray(case: Case) -> Iterable[Finding]:
    """Somebody shows tray icons, if there is a screen at all."""
    if not desktop.has_screen():
        return []
    if await within(_TRAY_SECONDS, "tray", desktop.session_has_tray):
        return []
    way_out = "Start a panel with a tray, or use aura-ollama from the command line."
    return [Finding("no_tray_host", Severity.WARNING, "Nothing shows tray icons", desktop.NO_TRAY_HOST, way_out)]


async def gpu(case: Case) -> Iterable[Finding]:
    """Each graphics card has its driver, and the Ollama that was started here computes on one."""
    on_bus = await within(READ_SECONDS, "graphics cards", adapters)
    told = await within(_GPU_SECONDS, "graphics drivers", installed_gpus)
    found = [
        Finding(
            "gpu_without_driver",
            Severity.WARNING,
            "A graphics card has no driver",
            f"There is a graphics card of {_NAMES[vendor]} ({name}), but no driver tells of it: Ollama cannot use it.",
            f"Install {_NAMES[vendor]}'s driver, and restart this machine: {_GPU_PAGE}",
        )
        for vendor, name in {adapter.vendor: adapter.name for adapter in reversed(on_bus)}.items()
        if vendor not in {card.vendor for card in told}
    ]
    best = detected(told)
    if best.name is None:
        return found
    settings = await case.settings()
    if _is_switched_off(settings):
        message = f"{best.name} is not used: `ollamaGpuEnabled` is false, or `ollamaNumGpu` is 0."
        way_out = "If that is not meant, switch it on in Aura's settings, and restart Ollama."
        return [
            *found,
            Finding("gpu_switched_off", Severity.NOTE, "The graphics card is switched off", message, way_out),
        ]
    libraries = await within(READ_SECONDS, "Ollama's log", lambda: _libraries_of_last_start(str(case.paths.logs)))
    if not libraries:
        raise NotChecked("no log of a start here tells what Ollama computes on")
    if libraries == {b"cpu"}:
        message = f"There is {best.name}, but the Ollama that was started here last computes on the processor alone."
        way_out = f"What it needs is told at {_GPU_PAGE} and its log says why: aura-ollama logs{case.paths.option}"
        found.append(
            Finding("gpu_not_used", Severity.WARNING, "Ollama does not use the graphics card", message, way_out)
        )
    return found


def _is_switched_off(settings: Settings) -> bool:
    return not settings.ollama_gpu_enabled or settings.ollama_num_gpu == 0


def _libraries_of_last_start(folder: str) -> set[bytes]:
    """The libraries that it computes with, in lower case; empty if its log does not tell, or there is none."""
    segments = listed(folder)
    if not segments:
        return set()
    # What was found is told at the very beginning, and later segments may be many.
    first = Segment(folder, segments[-1].stamp, 0)
    try:
        with os.fdopen(open_log(first.path, os.O_RDONLY), "rb") as file:
            return {library.lower() for library in _COMPUTES_ON.findall(file.read(_LOG_BYTES))}
    except FileNotFoundError:
        # It is old enough to have been deleted.
        return set()
