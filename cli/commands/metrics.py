"""`aura-ollama metrics`: what each Ollama costs, how many requests it answered, and how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli import exits, output
from cli.common import client_of
from cli.words import UNKNOWN, local_time, span
from core.text import on_one_line, size_text

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """It has none of its own."""


def run(options: argparse.Namespace) -> int:
    """Print what is so now, and the requests since the sidecar's start."""
    answer = client_of(options).get("/api/ollama/metrics")
    found = [each for each in answer.json["instances"] if options.instance in (None, each["id"])]
    if options.json:
        output.document(answer.body)
        return exits.DONE
    for number, each in enumerate(found):
        if number:
            output.line()
        _show(each)
    for gpu in answer.json["gpus"]:
        output.line()
        _show_gpu(gpu)
    return exits.DONE


def _show(instance: dict[str, Any]) -> None:
    now, requests, starts, canary = (instance[key] for key in ("now", "requests", "starts", "canary"))
    output.line(output.styled(on_one_line(f"{instance['id']}: {now['state']}"), "bold"))
    last = starts["lastExit"]
    output.fields(
        [
            ("Up for", span(now["uptimeSeconds"]) if now["uptimeSeconds"] is not None else None),
            ("Memory", _size(now["memoryBytes"])),
            ("Graphics memory", _size(now["vramBytes"])),
            ("Processor", None if now["cpu"] is None else f"{now['cpu']:.2f} cores"),
            ("Processes", _count(now["processes"])),
            ("Open files", _count(now["openFiles"])),
            ("Pulled", size_text(instance["pulledBytes"]) if instance["pulledBytes"] else None),
            ("Starts", f"{starts['count']}, {starts['failed']} failed, {starts['crashes']} crashes"),
            ("Last end", on_one_line(last["reason"]) if last else None),
            ("Stuck", canary["stuck"] if canary else None),
            ("Requests", f"{requests['total']} since {local_time(requests['since'])}"),
        ]
    )
    if runners := now["runners"]:
        output.line()
        output.table(
            ("Model", "Process", "Memory", "Cores"),
            [
                (
                    one["model"] or UNKNOWN,
                    str(one["pid"]),
                    size_text(one["memoryBytes"]),
                    UNKNOWN if one["cpu"] is None else f"{one['cpu']:.2f}",
                )
                for one in runners
            ],
            right=(1, 2, 3),
        )
    if requests["routes"]:
        output.line()
        output.table(
            ("Route", "Status", "Requests", "Half within", "95 % within", "99 % within"),
            [
                (one["route"], one["status"], str(one["count"]), *(span(one[key]) for key in ("p50", "p95", "p99")))
                for one in requests["routes"]
            ],
            right=(2, 3, 4, 5),
        )


def _show_gpu(gpu: dict[str, Any]) -> None:
    output.line(output.styled(on_one_line(gpu["name"]), "bold"))
    used, whole = gpu["memoryUsedBytes"], gpu["memoryBytes"]
    output.fields(
        [
            ("Memory", None if whole is None else f"{_size(used) or UNKNOWN} of {size_text(whole)}"),
            ("Busy", None if gpu["busy"] is None else f"{gpu['busy']:.0%}"),
            ("Temperature", None if gpu["temperatureCelsius"] is None else f"{gpu['temperatureCelsius']:.0f} °C"),
            ("Power", None if gpu["powerWatts"] is None else f"{gpu['powerWatts']:.0f} W"),
        ]
    )


def _size(value: int | None) -> str | None:
    return None if value is None else size_text(value)


def _count(value: int | None) -> str | None:
    return None if value is None else str(value)
