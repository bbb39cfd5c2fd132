"""Whatever this machine has, asking for it is safe."""

from __future__ import annotations

from core.platform.gpu import GpuReader, installed_gpus


def test_asking_this_machine_does_not_fail() -> None:
    """Twice, since rates need two looks, and once more after a close. What is told lies within its limits."""
    reader = GpuReader()
    first, second = reader.read(), reader.read()
    reader.close()
    again = reader.read()
    reader.close()
    assert {gpu.id for gpu in first} == {gpu.id for gpu in second} == {gpu.id for gpu in again}
    assert {gpu.id for gpu in installed_gpus()} == {gpu.id for gpu in first}
    for gpu in second:
        assert gpu.name
        assert gpu.memory_total is None or gpu.memory_total > 0
        assert gpu.busy is None or 0 <= gpu.busy <= 1
