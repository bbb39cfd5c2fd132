"""The settings: names, types, defaults and limits, and the message for each value that is not accepted. Pure.

A new setting is a field of `SidecarSettings`; its type and description give the check and the message. A check that
needs more than the type is a function in `_CHECKS`.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from core.endpoint import redacted
from core.settings import owner

DEFAULT_URL = "http://127.0.0.1:11434"

_MAX_WHOLE = 2**53
_SHOWN = 80
# As the host of a model's name: core.ollama.model_name.
_REGISTRY = re.compile(r"(?=.{1,350}\Z)[a-z0-9_][a-z0-9_.-]*(?::(\d{1,5}))?", re.ASCII | re.IGNORECASE)
_ORIGIN = re.compile(r"null|file://|[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(\d{1,5}))?", re.ASCII)

# One `NAME=value` of the environment. Windows has the lowest limit of all systems: 32,767 UTF-16 units.
_MOST_ENTRY_BYTES = 32_767
# Far below Linux's limit for arguments and environment, a quarter of the stack limit: execve(2). Ours is added to it.
_MOST_ENVIRONMENT_BYTES = 512 << 10

_Text = Annotated[
    Annotated[str, Meta(max_length=32_767)] | None, Meta(description="a text of at most 32767 characters")
]
Switch = Annotated[bool, Meta(description="true or false")]
_Seconds = Annotated[float, Meta(gt=0, le=600, description="a number of seconds above 0, up to 600")]
_Count = Annotated[int, Meta(ge=1, le=_MAX_WHOLE, description="a whole number, 1 or more")]
_Bytes = Annotated[int, Meta(ge=1 << 16, le=_MAX_WHOLE, description="a whole number of bytes, 65536 or more")]

NumGpu = Annotated[int, Meta(ge=-1, le=10_000, description="a whole number from -1 to 10000")]
NumCtx = Annotated[int, Meta(ge=0, le=2**31 - 1, description="a whole number from 0 to 2147483647")]
DEFAULT_NUM_CTX = 4096


class AuraSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The keys of `settings.json` that we own. Empty texts count as absent: Aura writes one for "not set"."""

    ollama_url: Annotated[str, Meta(description="a text of at most 2048 characters", max_length=2048)] = DEFAULT_URL
    ollama_model: _Text = None
    ollama_executable_path: _Text = None
    ollama_gpu_enabled: Switch = True
    ollama_num_gpu: NumGpu = -1
    ollama_num_ctx: NumCtx = DEFAULT_NUM_CTX
    ollama_gpu_auto_detect: Switch = True


class CanarySettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`canary` of `ollama-sidecar.json`: a question that is asked now and then, to see whether answers still come."""

    model: Annotated[str, Meta(min_length=1, max_length=256, description="the name of a model, 1 to 256 characters")]
    every_seconds: Annotated[float, Meta(ge=1, le=86_400, description="a number of seconds from 1 to 86400")] = 60.0
    timeout_seconds: Annotated[float, Meta(ge=1, le=600, description="a number of seconds from 1 to 600")] = 30.0
    restart_on_stuck: Switch = False


class SidecarSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The keys of `ollama-sidecar.json`."""

    host: Annotated[str, Meta(description="an IP address, such as 127.0.0.1")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="a whole number from 0 to 65535")] = 5006
    allowed_origins: Annotated[tuple[str, ...], Meta(description="a list of at most 1000 texts", max_length=1000)] = ()
    allowed_registries: Annotated[
        tuple[str, ...], Meta(description="a list of at most 1000 texts", max_length=1000)
    ] = ()
    allow_insecure_registries: Switch = False
    require_token: Switch = False
    env: Annotated[dict[str, str], Meta(description="an object of texts")] = msgspec.field(default_factory=dict)
    ready_timeout: _Seconds = 10.0
    stop_timeout: _Seconds = 5.0
    start_on_launch: Switch = False
    stop_on_quit: Switch = True
    stop_on_terminate: Switch = False
    restart_on_crash: Switch = False
    owner: Annotated[str, Meta(description=owner.FORM, max_length=512)] = owner.PROCESS
    canary: Annotated[CanarySettings | None, Meta(description='an object, such as {"model": "llama3.2:3b"}')] = None
    log_segment_bytes: _Bytes = 16 << 20
    log_segments_per_start: _Count = 8
    log_starts: _Count = 20
    log_total_bytes: _Bytes = 1 << 30

    @property
    def log_caps(self) -> dict[str, int]:
        """The log's limits, as arguments of `core.logs.segments.Caps`."""
        return {
            "segment_bytes": self.log_segment_bytes,
            "segments_per_start": self.log_segments_per_start,
            "starts": self.log_starts,
            "total_bytes": self.log_total_bytes,
        }


_KINDS = {str: "text", bool: "truth value", int: "number", float: "number", list: "list", dict: "object"}
_T = TypeVar("_T", bound=msgspec.Struct)


AT_OLLAMAS_START = frozenset(
    {
        "env",
        "logSegmentBytes",
        "logSegmentsPerStart",
        "logStarts",
        "logTotalBytes",
        "ollamaExecutablePath",
        "ollamaGpuAutoDetect",
        "ollamaGpuEnabled",
        "ollamaNumCtx",
        "ollamaNumGpu",
        "stopTimeout",
    }
)
"""What an Ollama is given when it is started: one that runs keeps what it was given."""
AT_OUR_START = frozenset({"host", "port"})
"""What is read once, when the sidecar begins to serve. Options of its command line go before it."""


class Fault(Exception):
    """A value that will not do: where it is (such as `env`, `OLLAMA_HOST`), what is wrong, and the way out."""

    def __init__(self, keys: tuple[str, ...], message: str, action: str) -> None:
        super().__init__(message)
        self.keys = keys
        self.message = message
        self.action = action


def names(kind: type[msgspec.Struct]) -> list[str]:
    """The names of those settings in the file."""
    return [setting.encode_name for setting in msgspec.structs.fields(kind)]


def convert(kind: type[_T], found: Mapping[str, object]) -> _T:
    """The values as `kind`; unknown names are ignored. Raises `Fault`."""
    present = {}
    for setting in msgspec.structs.fields(kind):
        name, value = setting.encode_name, found.get(setting.encode_name)
        if value is None or (kind is AuraSettings and isinstance(value, str) and not value.strip()):
            continue
        if name in _CHECKS:
            _CHECKS[name](value)
        _check_type(name, value, setting.type)
        present[name] = value
    settings = msgspec.convert(present, kind)
    if isinstance(settings, SidecarSettings) and settings.log_total_bytes < settings.log_segment_bytes:
        raise Fault(
            ("logTotalBytes" if "logTotalBytes" in present else "logSegmentBytes",),
            f"`logTotalBytes` is {settings.log_total_bytes}, but one segment (`logSegmentBytes`) may already take "
            f"{settings.log_segment_bytes}",
            "Raise `logTotalBytes` or lower `logSegmentBytes`.",
        )
    return settings


def exposure(settings: SidecarSettings) -> Fault | None:
    """Why a sidecar with these settings would refuse to serve: other machines could reach it without a token."""
    if settings.require_token or not is_ip_address(settings.host) or ipaddress.ip_address(settings.host).is_loopback:
        return None
    return Fault(
        ("host",),
        f"`host` is {_shown(settings.host)}, where other machines can reach the sidecar, but `requireToken` is false",
        "Have `requireToken` be true, and then set `host`; or keep `host` at 127.0.0.1.",
    )


def _check_type(name: str, value: object, kind: Any, *keys: str) -> None:
    try:
        msgspec.json.encode(msgspec.convert(value, kind))
    except msgspec.ValidationError:
        raise _wrong(name, value, kind.__metadata__[0].description, *keys) from None
    except UnicodeEncodeError:
        raise _wrong(name, value, "made of whole characters, not of half ones (lone surrogates)", *keys) from None


def _wrong(name: str, value: object, expected: str, *keys: str) -> Fault:
    # A value in `env` may be a secret, so only its kind is shown.
    shown = f"a {_KINDS.get(type(value), 'value')}" if name.partition(".")[0] == "env" else _shown(value)
    return Fault(
        keys or (name,),
        f"`{name}` is {shown}, but must be {expected}",
        f"Correct `{name}`, or remove it to get the default.",
    )


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _check_host(value: object) -> None:
    if isinstance(value, str) and not is_ip_address(value):
        raise _wrong("host", value, "an IP address, such as 127.0.0.1, without a zone")


def is_ip_address(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address without a zone."""
    try:
        return "%" not in text and str(ipaddress.ip_address(text)) != ""
    except ValueError:
        return False


def _check_origins(value: object) -> None:
    for index, origin in enumerate(value if isinstance(value, list | tuple) else ()):
        match = _ORIGIN.fullmatch(origin) if isinstance(origin, str) else None
        if match is None or int(match[1] or 0) > 65535:
            expected = "one exact origin in lower case, such as `http://localhost:5173`, or `null`, or `file://`"
            raise _wrong(f"allowedOrigins[{index}]", origin, expected, "allowedOrigins")


def _check_registries(value: object) -> None:
    for index, registry in enumerate(value if isinstance(value, list | tuple) else ()):
        match = _REGISTRY.fullmatch(registry) if isinstance(registry, str) else None
        if match is None or not 1 <= int(match[1] or 1) <= 65535:
            expected = "a host or host:port, without a scheme and a path, such as `registry.example.com:5000`"
            raise _wrong(f"allowedRegistries[{index}]", registry, expected, "allowedRegistries")


def _check_owner(value: object) -> None:
    if isinstance(value, str):
        try:
            owner.parse(value)
        except ValueError:
            raise _wrong("owner", value, owner.FORM) from None


def _check_canary(value: object) -> None:
    if not isinstance(value, Mapping):
        return
    for setting in msgspec.structs.fields(CanarySettings):
        name = setting.encode_name
        if name in value:
            _check_type(f"canary.{name}", value[name], setting.type, "canary", name)
        elif setting.required:
            raise Fault(
                ("canary",),
                f"`canary` has no `{name}`, which must be {setting.type.__metadata__[0].description}",
                f"Add `canary.{name}`, or remove `canary` to have none.",
            )


def _check_environment(value: object) -> None:
    sizes = {}
    for name, text in value.items() if isinstance(value, Mapping) else ():
        if not name or "=" in name or not _is_sound(name):
            raise Fault(
                ("env", name),
                f"`env` holds the name {_shown(name)}, but a name is not empty and has no `=`, NUL or half character",
                "Correct or remove that entry of `env`.",
            )
        # Names of variables ignore case on Windows.
        if name.upper() == "OLLAMA_HOST":
            raise Fault(
                ("env", name),
                f"`env.{name}` is {_shown(redacted(text) if isinstance(text, str) else text)}, "
                "but the address comes from `ollamaUrl`",
                f"Remove `env.{name}` and set ollamaUrl instead.",
            )
        if not isinstance(text, str):
            raise _wrong(f"env.{name}", text, "a text", "env", name)
        if not _is_sound(text):
            # The value is not shown, since it may be a secret.
            raise Fault(
                ("env", name),
                f"`env.{name}` holds a NUL or a half character (lone surrogate), which no variable can",
                f"Correct or remove `env.{name}`.",
            )
        sizes[name] = len(f"{name}={text}".encode())
    _check_environment_sizes(sizes)


def _check_environment_sizes(sizes: Mapping[str, int]) -> None:
    """`sizes` are those of `NAME=value`, in bytes."""
    if not sizes:
        return
    largest = max(sizes, key=sizes.__getitem__)
    if sizes[largest] > _MOST_ENTRY_BYTES:
        raise Fault(
            ("env", largest),
            f"`env.{_short(largest)}` takes {sizes[largest]} bytes with its name, but {_MOST_ENTRY_BYTES} at most are "
            "handed to a program",
            f"Shorten or remove `env.{_short(largest)}`.",
        )
    if (total := sum(sizes.values())) > _MOST_ENVIRONMENT_BYTES:
        raise Fault(
            ("env",),
            f"`env` takes {total} bytes, but {_MOST_ENVIRONMENT_BYTES} at most are handed to a program",
            f"Shorten `env`; its largest entry is `env.{_short(largest)}`.",
        )


def _short(name: str) -> str:
    return name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"


def _is_sound(text: str) -> bool:
    return re.search(r"[\x00\ud800-\udfff]", text) is None


_CHECKS = {
    "host": _check_host,
    "allowedOrigins": _check_origins,
    "allowedRegistries": _check_registries,
    "canary": _check_canary,
    "owner": _check_owner,
    "env": _check_environment,
}
