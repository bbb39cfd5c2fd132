"""The two settings files: Aura's `settings.json` and our `ollama-sidecar.json`. They are read and written only here.

Reading and writing block on the disk: call them from a thread. A file that cannot be used is reported, never repaired.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import stat
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from json import JSONDecodeError, JSONDecoder
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import msgspec
import platformdirs
from msgspec import Meta

from core.endpoint import Endpoint
from core.errors import ConfigError
from core.platform import replace_file

DEFAULT_URL = "http://127.0.0.1:11434"

_MAX_BYTES = 4 << 20
_MAX_WHOLE = 2**53
_BOM = b"\xef\xbb\xbf"
# FAT keeps times to 2 s, so a younger file may change again without its stamp showing it.
_SETTLED_NS = 2_000_000_000
_ATTEMPTS = 5
_SHOWN = 80
_BUSY_SECONDS = 0.1
_BUSY_POLL_SECONDS = 0.005
_PASSING = (BlockingIOError, FileNotFoundError, PermissionError)
_ORIGIN = re.compile(r"null|file://|[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(\d{1,5}))?", re.ASCII)
_WRITING = threading.Lock()

_Text = Annotated[str | None, Meta(description="a text")]
_Switch = Annotated[bool, Meta(description="true or false")]
_Seconds = Annotated[float, Meta(gt=0, le=600, description="a number of seconds above 0, up to 600")]
_Count = Annotated[int, Meta(ge=1, le=_MAX_WHOLE, description="a whole number, 1 or more")]
_Bytes = Annotated[int, Meta(ge=1 << 16, le=_MAX_WHOLE, description="a whole number of bytes, 65536 or more")]


@dataclass(frozen=True, slots=True)
class Paths:
    """Where everything lies. `root` is absolute; nothing is created by asking."""

    root: Path

    @classmethod
    def find(cls, override: Path | None = None) -> Paths:
        """Below `override`, else $AURA_DATA_PATH, else the user's data folder for Aura."""
        root = override or os.environ.get("AURA_DATA_PATH") or platformdirs.user_data_path("Aura", appauthor=False)
        return cls(Path(root).absolute())

    @property
    def data(self) -> Path:
        return self.root / "AuraData"

    @property
    def settings(self) -> Path:
        return self.data / "settings.json"

    @property
    def sidecar(self) -> Path:
        return self.data / "ollama-sidecar.json"

    @property
    def logs(self) -> Path:
        return self.data / "logs" / "ollama"

    @property
    def run(self) -> Path:
        return self.data / "run"


class _AuraSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The keys of `settings.json` that we own. A blank text counts as absent, because Aura writes one for "not set"."""

    ollama_url: Annotated[str, Meta(description="a text")] = DEFAULT_URL
    ollama_model: _Text = None
    ollama_executable_path: _Text = None


class SidecarSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All of `ollama-sidecar.json` that has a meaning."""

    port: Annotated[int, Meta(ge=0, le=65535, description="a whole number from 0 to 65535")] = 5006
    allowed_origins: Annotated[tuple[str, ...], Meta(description="a list of texts")] = ()
    require_token: _Switch = False
    env: Annotated[dict[str, str], Meta(description="an object of texts")] = msgspec.field(default_factory=dict)
    ready_timeout: _Seconds = 10.0
    stop_timeout: _Seconds = 5.0
    start_on_launch: _Switch = False
    stop_on_quit: _Switch = True
    stop_on_terminate: _Switch = False
    restart_on_crash: _Switch = False
    log_segment_bytes: _Bytes = 16 << 20
    log_segments_per_start: _Count = 8
    log_starts: _Count = 20
    log_total_bytes: _Bytes = 1 << 30

    @property
    def log_caps(self) -> dict[str, int]:
        """The log's limits, by the names of `core.logs.Caps`."""
        return {
            "segment_bytes": self.log_segment_bytes,
            "segments_per_start": self.log_segments_per_start,
            "starts": self.log_starts,
            "total_bytes": self.log_total_bytes,
        }


_T = TypeVar("_T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Settings:
    """Both files together, as in force. `ollama_url` is as written: `Endpoint.parse` judges it."""

    ollama_url: str = DEFAULT_URL
    ollama_model: str | None = None
    ollama_executable_path: str | None = None
    sidecar: SidecarSettings = field(default_factory=SidecarSettings)

    @property
    def fingerprint(self) -> str:
        """Equal if and only if the values in force are equal. It gives no value away, so it may be logged."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()


class SettingsReader:
    """The settings in force, read fresh. Any thread may call it."""

    def __init__(self, paths: Paths) -> None:
        self._aura = _Source(paths.settings, _AuraSettings)
        self._sidecar = _Source(paths.sidecar, SidecarSettings)
        self._lock = threading.Lock()

    def read(self) -> Settings:
        """What the files say now. Blocks on the disk, and does not raise.

        A missing file means the defaults. One that cannot be used leaves its last good values (else the defaults) in
        force, and `problem` says why.
        """
        with self._lock:
            aura, sidecar = self._aura.read(), self._sidecar.read()
        return Settings(aura.ollama_url, aura.ollama_model, aura.ollama_executable_path, sidecar)

    @property
    def problem(self) -> ConfigError | None:
        """What was wrong at the last `read`; `settings.json` comes first."""
        return self._aura.problem or self._sidecar.problem


def write_settings(paths: Paths, changes: Mapping[str, object]) -> None:
    """Change keys that we own in Aura's `settings.json`; null means the default. Every other byte stays.

    Names are those in the file. Blocks on the disk. Raises `ConfigError`, with the file as it was, if the file is
    damaged, would not be valid afterwards, or cannot be written, or if the new `ollamaUrl` makes no sense.
    """
    url = changes.get("ollamaUrl")
    if isinstance(url, str) and url.strip():
        Endpoint.parse(url)
    _write(paths.settings, _AuraSettings, changes)


def write_sidecar(paths: Paths, changes: Mapping[str, object]) -> None:
    """The same for `ollama-sidecar.json`."""
    _write(paths.sidecar, SidecarSettings, changes)


class _Stamp(NamedTuple):
    modified_ns: int
    size: int
    inode: int
    mode: int


class _File(NamedTuple):
    """A file's content, and its stamp just before that was read (None: no file), so a later change shows."""

    stamp: _Stamp | None
    bom: bytes
    text: str


class _Source(Generic[_T]):
    """One file: its last good values, and what is wrong with it now."""

    def __init__(self, path: Path, kind: type[_T]) -> None:
        self.problem: ConfigError | None = None
        self._path = path
        self._kind: type[_T] = kind
        self._good: _T = kind()
        self._stamp: _Stamp | None = None

    def read(self) -> _T:
        known, self._stamp = self._stamp, None
        if known is not None and _is_still(self._path, known):
            self._stamp = known
            return self._good
        try:
            self._good = self._load()
            self.problem = None
        except ConfigError as error:
            self.problem = error
        return self._good

    def _load(self) -> _T:
        now = time.time_ns()
        file = _load(self._path)
        if file.stamp is None:
            return self._kind()
        if now - file.stamp.modified_ns > _SETTLED_NS:
            self._stamp = file.stamp
        members = _parse(self._path, file.text)
        try:
            return _convert(self._kind, {member.key: member.value for member in members})
        except _Fault as fault:
            raise _located(self._path, file.text, members, fault) from None


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return _Stamp(status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode)


def _is_still(path: Path, stamp: _Stamp) -> bool:
    try:
        return _stamp(path) == stamp
    except OSError:
        return False


def _load(path: Path) -> _File:
    """What the file holds. Raises `ConfigError`.

    Waits out the moment in which the file is gone or refused, because somebody replaces it, or writes it unshared.
    """
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return _load_once(path)
        except OSError as error:
            if not isinstance(error, _PASSING) or time.monotonic() > deadline:
                raise _unreadable(path, error.strerror or str(error)) from None
        time.sleep(_BUSY_POLL_SECONDS)


def _load_once(path: Path) -> _File:
    stamp = _stamp(path)
    if stamp is None:
        return _File(None, b"", "{}")
    # Asked first, because opening a pipe would block.
    if not stat.S_ISREG(stamp.mode):
        raise _unreadable(path, "it is not a file")
    with path.open("rb", buffering=0) as file:
        content = file.read(_MAX_BYTES + 1)
        file.seek(0)
        # A read beside an in-place writer can give the old beginning with the new end, which may even be valid.
        if file.read(_MAX_BYTES + 1) != content:
            raise BlockingIOError(errno.EAGAIN, "it is being written")
    if len(content) > _MAX_BYTES:
        raise _unreadable(path, f"it is larger than {_MAX_BYTES >> 20} MiB")
    body = content.removeprefix(_BOM)
    try:
        return _File(stamp, content[: len(content) - len(body)], body.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: the text is not UTF-8", action="Save it as UTF-8.") from None


def _unreadable(path: Path, why: str) -> ConfigError:
    return ConfigError(f"{path} cannot be read: {why}", action=f"Make {path} a readable JSON file, or remove it.")


class _Fault(Exception):
    """A value that will not do: where it is (such as `env`, `OLLAMA_HOST`), what is wrong, and the way out."""

    def __init__(self, keys: tuple[str, ...], message: str, action: str) -> None:
        super().__init__(message)
        self.keys = keys
        self.message = message
        self.action = action


def _convert(kind: type[_T], found: Mapping[str, object]) -> _T:
    """The values in force. Raises `_Fault`."""
    present = {}
    for setting in msgspec.structs.fields(kind):
        name, value = setting.encode_name, found.get(setting.encode_name)
        if value is None or (kind is _AuraSettings and isinstance(value, str) and not value.strip()):
            continue
        if name in _CHECKS:
            _CHECKS[name](value)
        _check_type(name, value, setting.type)
        present[name] = value
    settings = msgspec.convert(present, kind)
    if isinstance(settings, SidecarSettings) and settings.log_total_bytes < settings.log_segment_bytes:
        name = "logTotalBytes" if found.get("logTotalBytes") is not None else "logSegmentBytes"
        raise _Fault(
            (name,),
            f"`logTotalBytes` is {settings.log_total_bytes}, but one segment (`logSegmentBytes`) may already take "
            f"{settings.log_segment_bytes}",
            "Raise `logTotalBytes` or lower `logSegmentBytes`.",
        )
    return settings


def _check_type(name: str, value: object, kind: Any) -> None:
    try:
        msgspec.json.encode(msgspec.convert(value, kind))
    except msgspec.ValidationError:
        raise _wrong(name, value, kind.__metadata__[0].description) from None
    except UnicodeEncodeError:
        raise _wrong(name, value, "made of whole characters, not of half ones (lone surrogates)") from None


def _wrong(name: str, value: object, expected: str, *keys: str) -> _Fault:
    return _Fault(
        keys or (name,),
        f"`{name}` is {_shown(value)}, but must be {expected}",
        f"Correct `{name}`, or remove it to get the default.",
    )


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _check_origins(value: object) -> None:
    for index, origin in enumerate(value if isinstance(value, list | tuple) else ()):
        match = _ORIGIN.fullmatch(origin) if isinstance(origin, str) else None
        if match is None or int(match[1] or 0) > 65535:
            expected = "one exact origin in lower case, such as `http://localhost:5173`, or `null`, or `file://`"
            raise _wrong(f"allowedOrigins[{index}]", origin, expected, "allowedOrigins")


def _check_environment(value: object) -> None:
    for name, text in value.items() if isinstance(value, Mapping) else ():
        if not name or "=" in name or not _is_sound(name):
            raise _Fault(
                ("env", name),
                f"`env` holds the name {_shown(name)}, but a name is not empty and has no `=`, NUL or half character",
                "Correct or remove that entry of `env`.",
            )
        # In any case of letters: Windows does not tell them apart.
        if name.upper() == "OLLAMA_HOST":
            raise _Fault(
                ("env", name),
                f"`env.{name}` is {_shown(text)}, but the address comes from `ollamaUrl`",
                f"Remove `env.{name}` and set ollamaUrl instead.",
            )
        if not isinstance(text, str):
            raise _wrong(f"env.{name}", text, "a text", "env", name)
        if not _is_sound(text):
            # Not shown: it may be a key.
            raise _Fault(
                ("env", name),
                f"`env.{name}` holds a NUL or a half character (lone surrogate), which no variable can",
                f"Correct or remove `env.{name}`.",
            )


def _is_sound(text: str) -> bool:
    return re.search(r"[\x00\ud800-\udfff]", text) is None


_CHECKS = {"allowedOrigins": _check_origins, "env": _check_environment}


def _write(path: Path, kind: type[_T], changes: Mapping[str, object]) -> None:
    names = [setting.encode_name for setting in msgspec.structs.fields(kind)]
    for name in changes:
        if name not in names:
            raise ConfigError(f"`{name}` is no setting for {path.name}", action=f"Use one of {', '.join(names)}.")
    # A link stays a link: its target is what is replaced.
    target = Path(os.path.realpath(path))
    with _WRITING:
        for _ in range(_ATTEMPTS):
            file = _load(target)
            text = _changed(target, kind, file.text, changes)
            if text == file.text or _replace(target, file, text):
                return
    raise ConfigError(f"{path} keeps being changed by another program", action="Try again in a moment.")


def _changed(path: Path, kind: type[_T], text: str, changes: Mapping[str, object]) -> str:
    """The text with those values in it, proved to differ in nothing else and to be valid. Raises `ConfigError`."""
    before = _parse(path, text)
    edited = _edit(text, before, changes)
    after = _parse(path, edited)
    try:
        _convert(kind, {member.key: member.value for member in after})
    except _Fault as fault:
        if fault.keys[0] in changes:
            raise ConfigError(fault.message, action=fault.action) from None
        raise _located(path, text, before, fault) from None
    if _others(text, before, changes) != _others(edited, after, changes):
        raise ConfigError(f"{path} cannot be changed without touching other keys", action="Change it in an editor.")
    return edited


def _replace(path: Path, file: _File, text: str) -> bool:
    """Put the new text in the file's place at once; False if somebody else has changed the file meanwhile."""
    content = file.bom + text.encode("utf-8")
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{path} would grow larger than {_MAX_BYTES >> 20} MiB", action="Make it smaller first.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path, content) as temporary:
            if file.stamp is not None:
                temporary.chmod(stat.S_IMODE(file.stamp.mode))
            if _stamp(path) != file.stamp:
                return False
            replace_file(str(temporary), str(path))
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigError(f"{path} cannot be written: {why}", action="Check its folder's rights and space.") from None
    return True


@contextlib.contextmanager
def _temporary(path: Path, content: bytes) -> Iterator[Path]:
    """A synced file in the same folder, removed at the end if it is still there."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


class _Member(NamedTuple):
    """One `"key": value` of an object, and where its parts lie. White space alone lies between `gap` and the key."""

    key: str
    value: Any
    gap: int
    key_start: int
    key_end: int
    start: int
    end: int


def _parse(path: Path, text: str) -> list[_Member]:
    """The members of the one object that the text is. Raises `ConfigError` with line and column."""
    try:
        members, end = _members(text, 0)
        if _skip(text, end) != len(text):
            raise JSONDecodeError("Nothing may follow the object", text, _skip(text, end))
    except JSONDecodeError as error:
        ended = ", but the file ends" if _skip(text, error.pos) == len(text) else ""
        raise ConfigError(
            f"{path}, line {error.lineno}, column {error.colno}: not valid JSON: {error.msg}{ended}",
            action=f"Correct {path}, or remove it to get the defaults.",
        ) from None
    except RecursionError:
        raise _unreadable(path, "it is nested too deeply") from None
    return members


def _members(text: str, at: int) -> tuple[list[_Member], int]:
    """The members of the object that begins at `at`, in order, and where it ends. Raises `JSONDecodeError`."""
    gap = _expect(text, at, "{", "Expecting an object")
    members: list[_Member] = []
    if text.startswith("}", _skip(text, gap)):
        return members, _skip(text, gap) + 1
    while True:
        key_start = _expect(text, gap, '"', "Expecting a name in double quotes") - 1
        key, key_end = _value(text, key_start)
        start = _skip(text, _expect(text, key_end, ":", "Expecting ':'"))
        value, end = _value(text, start)
        members.append(_Member(str(key), value, gap, key_start, key_end, start, end))
        if text.startswith("}", _skip(text, end)):
            return members, _skip(text, end) + 1
        gap = _expect(text, end, ",", "Expecting ',' or '}'")


def _skip(text: str, at: int) -> int:
    match = _WHITE.match(text, at)
    return at if match is None else match.end()


def _expect(text: str, at: int, sign: str, message: str) -> int:
    at = _skip(text, at)
    if not text.startswith(sign, at):
        raise JSONDecodeError(message, text, at)
    return at + 1


def _value(text: str, at: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except JSONDecodeError:
        raise
    except ValueError as error:
        raise JSONDecodeError(str(error), text, at) from None


def _whole(digits: str) -> float:
    """A whole number; one too long for Python's limit is as good as infinite, because no setting takes it."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_WHITE = re.compile(r"[ \t\n\r]*")
_DECODER = JSONDecoder(parse_int=_whole, parse_constant=_refuse)


def _located(path: Path, text: str, members: list[_Member], fault: _Fault) -> ConfigError:
    """The fault with file and line."""
    at = 0
    for key in fault.keys:
        member = next((member for member in reversed(members) if member.key == key), None)
        if member is None:
            break
        at = member.key_start
        members = _members(text, member.start)[0] if text.startswith("{", member.start) else []
    return ConfigError(f"{path}, line {text.count(chr(10), 0, at) + 1}: {fault.message}", action=fault.action)


def _edit(text: str, members: list[_Member], changes: Mapping[str, object]) -> str:
    """The text with those values: where the key is, in the place of the old value; else added in the file's own style.

    A key that stands twice is changed twice, because readers differ in which one counts.
    """
    present = {member.key for member in members}
    added = {key: value for key, value in changes.items() if key not in present}
    if added:
        text = _append(text, members, added)
    for member in reversed(members):
        if member.key in changes and _dump(changes[member.key]) != _dump(member.value):
            text = text[: member.start] + _dump(changes[member.key]) + text[member.end :]
    return text


def _append(text: str, members: list[_Member], added: Mapping[str, object]) -> str:
    if members:
        last = members[-1]
        gap, colon = text[last.gap : last.key_start], text[last.key_end : last.start]
        return (
            text[: last.end]
            + "".join(f",{gap}{_dump(k)}{colon}{_dump(v)}" for k, v in added.items())
            + text[last.end :]
        )
    newline = "\r\n" if "\r\n" in text else "\n"
    at = text.index("{") + 1
    body = ",".join(f"{newline}  {_dump(key)}: {_dump(value)}" for key, value in added.items())
    return text[:at] + body + ("" if "\n" in text[at : text.index("}")] else newline) + text[at:]


def _others(text: str, members: list[_Member], changes: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(member.key, text[member.start : member.end]) for member in members if member.key not in changes]


def _dump(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a value cannot be written as JSON: {error}") from None
