"""What is told of one graphics processor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    """One graphics processor. None stands for what its driver does not tell.

    `id` is the same at each reading: a UUID or a place on the bus. `vendor` is `nvidia`, `amd`, `intel`, `apple` or
    `other`. Memory is in bytes and that of the card alone, `busy` a share from 0 to 1, temperature in °C, power in W.
    """

    id: str
    name: str
    vendor: str
    memory_total: int | None = None
    memory_used: int | None = None
    busy: float | None = None
    temperature: float | None = None
    power: float | None = None


@dataclass(frozen=True, slots=True)
class Adapter:
    """One graphics card as the machine has it on its bus; `vendor` is `nvidia` or `amd`."""

    name: str
    vendor: str
