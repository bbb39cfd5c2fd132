"""The graphics processor: what is found, what suits it, and how Aura's settings about it reach an Ollama."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from api.schemas import gpu_status_body
from core.errors import ConfigError
from core.models.gpu import Detected, GpuSettings, detected, notes
from core.ollama.gpu_environment import gpu_environment
from core.platform.gpu import Gpu
from core.settings.paths import Paths
from core.settings.reader import Settings, SettingsReader, SidecarSettings
from core.supervision.state import State, Status
from tests import tied
from tests.api.serving import serving
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.rig import Rig

GIB = 1 << 30
HIDDEN = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "ROCR_VISIBLE_DEVICES": "-1",
    "HIP_VISIBLE_DEVICES": "-1",
    "GGML_VK_VISIBLE_DEVICES": "-1",
}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((), Detected()),
        ((Gpu("0", "UHD 620", "intel", GIB), Gpu("1", "?", "other")), Detected()),
        ((Gpu("0", "RX 7600", "amd", 8 * GIB),), Detected("RX 7600", 8192, "SystemDriver")),
        ((Gpu("0", "RX 7900", "amd", 24 * GIB), Gpu("1", "T4", "nvidia", 15 * GIB)), Detected("T4", 15360, "Nvml")),
        ((Gpu("0", "T4", "nvidia"), Gpu("1", "A100", "nvidia", 80 * GIB)), Detected("A100", 81920, "Nvml")),
        ((Gpu("0", "Apple M2", "apple"),), Detected("Apple M2", None, "SystemDriver")),
    ],
)
def test_the_processor_that_ollama_would_use_first_is_told(found: tuple[Gpu, ...], expected: Detected) -> None:
    assert detected(found) == expected


@pytest.mark.parametrize(
    ("memory", "context"),
    [(81920, 8192), (24000, 8192), (12288, 6144), (8192, 4096), (6144, 3072), (4096, 2048), (2048, 1024), (None, 4096)],
)
def test_the_context_that_suits_it_goes_by_its_memory(memory: int | None, context: int) -> None:
    assert (Detected("a card", memory).context, Detected("a card", memory).num_gpu) == (context, -1)


def test_without_a_processor_nothing_is_to_be_given_to_it() -> None:
    assert (Detected().context, Detected().num_gpu, Detected().method) == (2048, 0, "NotAvailable")


@pytest.mark.parametrize(
    ("settings", "environment"),
    [
        (Settings(), {}),
        (Settings(ollama_num_gpu=20), {}),
        (Settings(ollama_num_gpu=0), HIDDEN),
        (Settings(ollama_gpu_enabled=False), HIDDEN),
        (Settings(ollama_num_ctx=8192), {"OLLAMA_CONTEXT_LENGTH": "8192"}),
        (Settings(ollama_num_ctx=4096), {}),
        (Settings(ollama_num_ctx=4096, ollama_gpu_auto_detect=False), {"OLLAMA_CONTEXT_LENGTH": "4096"}),
        (Settings(ollama_num_ctx=0), {}),
        (Settings(ollama_num_ctx=512, sidecar=SidecarSettings(env={"Ollama_Context_Length": "7"})), {}),
    ],
)
def test_settings_become_variables_as_far_as_there_are_any(settings: Settings, environment: dict[str, str]) -> None:
    assert gpu_environment(settings) == environment


@pytest.mark.parametrize(
    ("found", "megabytes", "formatted"),
    [(Detected(), 0, "N/A"), (Detected("GT 710", 1000), 1000, "1000 MB"), (Detected("T4", 15360), 15360, "15.0 GB")],
)
def test_its_memory_is_told_as_the_aura_app_does(found: Detected, megabytes: int, formatted: str) -> None:
    body = gpu_status_body(Settings(), found, Status(State.STOPPED))
    assert (body.has_gpu, body.vram_mb, body.vram_formatted) == (found.name is not None, megabytes, formatted)


def test_what_has_no_effect_is_said() -> None:
    chosen = Settings(ollama_num_gpu=20)
    assert notes(Settings(), Status(State.STOPPED)) == []
    assert "not started here" in notes(Settings(), Status(State.EXTERNAL))[0]
    running, layers = notes(chosen, Status(State.RUNNING))
    assert "next start" in running
    assert "numGpu" in layers


@pytest.mark.timeout(tied.seconds(20))
async def test_an_ollama_that_is_started_gets_them(tmp_path: Path) -> None:
    """It prints its environment at the start."""
    rig = Rig(tmp_path, require(ollama).executable)
    config = {"gpuEnabled": False, "numCtx": 1024, "numGpu": 7, "autoDetect": False}
    async with serving(rig) as served:
        async with served.http.put("/api/ollama/gpu/config", json=config) as response:
            assert response.status == 200
        await served.supervisor.start()
        async with served.http.get("/api/ollama/logs?maxLines=10000") as response:
            log = " ".join((await response.json())["logs"])
        assert "OLLAMA_CONTEXT_LENGTH:1024" in log
        assert "CUDA_VISIBLE_DEVICES:-1" in log


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path)
    found.data.mkdir()
    found.settings.write_text('{ "openAiKey": "secret",\n\t"ollamaNumGpu": 5,  "later": [1.0, null] }\n')
    return found


async def test_what_is_found_by_itself_is_set_and_no_other_byte_changes(paths: Paths) -> None:
    gpu = GpuSettings(paths, SettingsReader(paths), lambda: (Gpu("0", "RTX 4090", "nvidia", 24 * GIB),))
    assert await gpu.auto_detect() == Detected("RTX 4090", 24576, "Nvml")
    text = paths.settings.read_text()
    assert text.startswith('{ "openAiKey": "secret",\n\t"ollamaNumGpu": -1,  "later": [1.0, null]')
    written = json.loads(text)
    assert {key: value for key, value in written.items() if key.startswith("ollama")} == {
        "ollamaNumGpu": -1,
        "ollamaNumCtx": 8192,
        "ollamaGpuEnabled": True,
        "ollamaGpuAutoDetect": True,
    }


async def test_what_is_not_found_is_not_switched_off(paths: Paths) -> None:
    """A card of which no driver tells may be there all the same, and Ollama may find it."""
    gpu = GpuSettings(paths, SettingsReader(paths), tuple)
    assert await gpu.auto_detect() == Detected()
    settings = await gpu.in_force()
    assert (settings.ollama_gpu_enabled, settings.ollama_num_gpu, settings.ollama_gpu_auto_detect) == (True, 5, True)


async def test_it_is_asked_once_for_all_and_anew_only_where_that_is_wished(paths: Paths) -> None:
    cards = iter([Gpu("0", "T4", "nvidia"), Gpu("0", "L4", "nvidia")])
    gpu = GpuSettings(paths, SettingsReader(paths), lambda: (next(cards),))
    for _ in range(3):
        assert (await gpu.detect()).name == "T4"
    assert (await gpu.detect(is_anew=True)).name == "L4"
    assert (await gpu.detect()).name == "L4"


# A driver that hangs is given 5 s.
@pytest.mark.timeout(20)
async def test_a_driver_that_hangs_holds_nobody_up(paths: Paths) -> None:
    go_on = threading.Event()

    def hang() -> tuple[Gpu, ...]:
        go_on.wait(15)
        return ()

    try:
        assert await GpuSettings(paths, SettingsReader(paths), hang).detect() == Detected()
    finally:
        go_on.set()


async def test_a_settings_file_that_is_damaged_is_not_touched(paths: Paths) -> None:
    paths.settings.write_text('{"ollamaNumGpu": 5,')
    with pytest.raises(ConfigError, match="line 1"):
        await GpuSettings(paths, SettingsReader(paths), tuple).change({"ollamaNumGpu": 1})
    assert paths.settings.read_text() == '{"ollamaNumGpu": 5,'
