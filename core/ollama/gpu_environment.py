"""How Aura's settings about graphics processors reach an Ollama that is started here: as variables. Pure.

Ollama takes a number of layers for the processors (`num_gpu`) with each request only; no variable sets it for the
server. So of `ollamaNumGpu` only 0 has an effect here. Sources: docs/gpu.mdx and docs/faq.mdx of Ollama.
"""

from __future__ import annotations

from core.settings.reader import Settings
from core.settings.schema import DEFAULT_NUM_CTX

# A number that no processor has hides all of them: CUDA, ROCm (on Windows: HIP), Vulkan. Metal has no such thing.
_HIDING = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "ROCR_VISIBLE_DEVICES": "-1",
    "HIP_VISIBLE_DEVICES": "-1",
    "GGML_VK_VISIBLE_DEVICES": "-1",
}


def gpu_environment(settings: Settings) -> dict[str, str]:
    """The variables for a start by these settings, except those that `env` of our own settings gives, in any case.

    Aura writes its default of 4096 tokens whether anybody chose it or not. So that number is taken for a choice only
    if `ollamaGpuAutoDetect` is off: a newer Ollama chooses a longer context where the memory allows it.
    """
    found: dict[str, str] = {}
    if not settings.ollama_gpu_enabled or settings.ollama_num_gpu == 0:
        found |= _HIDING
    is_chosen = settings.ollama_num_ctx != DEFAULT_NUM_CTX or not settings.ollama_gpu_auto_detect
    if is_chosen and settings.ollama_num_ctx > 0:
        found["OLLAMA_CONTEXT_LENGTH"] = str(settings.ollama_num_ctx)
    given = {name.upper() for name in settings.sidecar.env}
    return {name: value for name, value in found.items() if name not in given}
