"""The graphics processor for Ollama: what there is, what Aura's settings say of it, and what would suit it.

Belongs to one loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.errors import ConfigError
from core.platform.gpu import Gpu, installed_gpus
from core.settings.edit import write_settings
from core.settings.paths import Paths
from core.settings.reader import ASKED_SECONDS, Settings, SettingsReader
from core.supervision.state import State, Status
from core.threads.single_flight import SingleFlight, within

FRESH_SECONDS = 300.0
"""How long what was detected is taken for true: cards are not exchanged while the machine runs."""
_DETECT_SECONDS = 5.0
_WRITE_SECONDS = 5.0
# Those that Ollama computes on. Of others it needs Vulkan, and may not use them at all.
_VENDORS = ("nvidia", "amd", "apple")
_METHODS = {"nvidia": "Nvml", "amd": "SystemDriver", "apple": "SystemDriver"}
# The least memory of the card in MiB, and the context in tokens that Aura recommends for it.
_CONTEXTS = ((24_000, 8192), (12_000, 6144), (8_000, 4096), (6_000, 3072), (4_000, 2048), (1, 1024))
_CONTEXT_WITHOUT = 2048
_CONTEXT_SHARED = 4096


@dataclass(frozen=True, slots=True)
class Detected:
    """The processor that Ollama would use first. `memory` is in MiB, None if it has none of its own or does not tell.

    Without one `name` is None. `context` is the length that Aura recommends, in tokens.
    """

    name: str | None = None
    memory: int | None = None
    method: str = "NotAvailable"

    @property
    def num_gpu(self) -> int:
        """The layers to be given to it: -1 for all that fit, 0 for none."""
        return -1 if self.name else 0

    @property
    def context(self) -> int:
        """The length of the context that Aura recommends for it, in tokens."""
        if self.memory is None:
            return _CONTEXT_SHARED if self.name else _CONTEXT_WITHOUT
        return next((context for least, context in _CONTEXTS if self.memory >= least), _CONTEXT_WITHOUT)


def detected(found: tuple[Gpu, ...]) -> Detected:
    """Which one of these Ollama would use first: NVIDIA's before AMD's before Apple's, then the one of most memory."""
    usable = [gpu for gpu in found if gpu.vendor in _VENDORS]
    if not usable:
        return Detected()
    best = min(usable, key=lambda gpu: (_VENDORS.index(gpu.vendor), -(gpu.memory_total or 0)))
    return Detected(best.name, best.memory_total >> 20 if best.memory_total else None, _METHODS[best.vendor])


def notes(settings: Settings, status: Status) -> list[str]:
    """What has to be said of these settings and the Ollama at hand, in sentences."""
    said = []
    if status.state is State.EXTERNAL:
        said.append("The Ollama that answers was not started here: these settings do not reach it.")
    elif status.is_managed:
        said.append("Ollama runs; a change is in force from its next start.")
    if settings.ollama_num_gpu > 0:
        said.append("Ollama takes a number of layers with each request only, so numGpu is kept for Aura's requests.")
    return said


class GpuSettings:
    """What Aura's four settings about graphics processors say, and how they are changed."""

    def __init__(
        self, paths: Paths, settings: SettingsReader, read: Callable[[], tuple[Gpu, ...]] = installed_gpus
    ) -> None:
        """`read` blocks, and lists what is there."""
        self._paths = paths
        self._settings = settings
        self._reading = SingleFlight("gpu", read)
        self._last = Detected()
        self._last_at = float("-inf")

    async def in_force(self) -> Settings:
        """The settings as they are now."""
        return (await self._settings.fresh(seconds=ASKED_SECONDS)).settings

    async def detect(self, *, is_anew: bool = False) -> Detected:
        """What there is, as of the last 5 min unless `is_anew`. Nothing, if that takes over 5 s. Does not raise."""
        if is_anew or time.monotonic() - self._last_at > FRESH_SECONDS:
            try:
                self._last = detected(await self._reading.run(_DETECT_SECONDS))
            except (TimeoutError, OSError):
                return Detected()
            self._last_at = time.monotonic()
        return self._last

    async def auto_detect(self) -> Detected:
        """Detect anew, and set what suits what was found. Raises ConfigError as `change` does.

        If nothing is found, only the detection itself is switched on: what no driver tells of may be there all the
        same, and Ollama may find it.
        """
        found = await self.detect(is_anew=True)
        changes: dict[str, object] = {"ollamaGpuAutoDetect": True}
        if found.name:
            changes |= {
                "ollamaGpuEnabled": True,
                "ollamaNumGpu": found.num_gpu,
                "ollamaNumCtx": found.context,
            }
        await self.change(changes)
        return found

    async def change(self, changes: Mapping[str, object]) -> None:
        """Write these keys of Aura's `settings.json`; every other byte stays. Raises ConfigError if that cannot be."""
        if not changes:
            return
        try:
            await within(_WRITE_SECONDS, "settings", lambda: write_settings(self._paths, changes))
        except TimeoutError:
            raise ConfigError(
                f"{self._paths.settings} is not written: its disk does not answer",
                action="See to that disk or network drive. It is written if the disk answers after all.",
            ) from None
