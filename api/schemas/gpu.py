"""The bodies of the graphics processor."""

from __future__ import annotations

import msgspec

from core.models.gpu import Detected, notes
from core.settings.reader import Settings
from core.settings.schema import NumCtx, NumGpu, Switch
from core.supervision.state import Status


class GpuStatusBody(msgspec.Struct, frozen=True, rename="camel"):
    """GET /api/ollama/gpu/status: Aura's settings, what there is, and what would suit it.

    `num_gpu` is a number of layers, -1 for all that fit; `num_ctx` is in tokens. `notes` say what has no effect.
    """

    gpu_enabled: bool
    num_gpu: int
    num_ctx: int
    auto_detect: bool
    has_gpu: bool
    gpu_name: str | None
    vram_mb: int = msgspec.field(name="vramMB")
    vram_formatted: str
    recommended_num_gpu: int
    recommended_num_ctx: int
    detection_method: str
    notes: list[str]


class GpuConfigBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """PUT /api/ollama/gpu/config. What is null or left out stays as it is."""

    gpu_enabled: Switch | None = None
    num_gpu: NumGpu | None = None
    num_ctx: NumCtx | None = None
    auto_detect: Switch | None = None


def gpu_status_body(settings: Settings, found: Detected, status: Status) -> GpuStatusBody:
    """The wire's view of it."""
    return GpuStatusBody(
        gpu_enabled=settings.ollama_gpu_enabled,
        num_gpu=settings.ollama_num_gpu,
        num_ctx=settings.ollama_num_ctx,
        auto_detect=settings.ollama_gpu_auto_detect,
        has_gpu=found.name is not None,
        gpu_name=found.name,
        vram_mb=found.memory or 0,
        vram_formatted=_memory_text(found.memory),
        recommended_num_gpu=found.num_gpu,
        recommended_num_ctx=found.context,
        detection_method=found.method,
        notes=notes(settings, status),
    )


def _memory_text(mebibytes: int | None) -> str:
    """As the Aura app prints it."""
    if mebibytes is None:
        return "N/A"
    return f"{mebibytes / 1024:.1f} GB" if mebibytes >= 1024 else f"{mebibytes} MB"
