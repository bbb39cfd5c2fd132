"""Names of models, by Ollama's own grammar: `[host[:port]/][namespace/]model[:tag]`. Pure.

The grammar is that of `ParseName` in Ollama's types/model/name.go:

    host        1 to 350 signs: a letter, a digit or `_`; then also `-`, `.` and `:`
    namespace   1 to 80 signs: the same without `.` and `:`
    model, tag  1 to 80 signs: the same with `.`, without `:`

A part that is left out is `registry.ollama.ai`, `library` or `latest`. Ollama ignores the case of letters when it
compares names. It takes `http://` or `https://` before a host, and asks that host by this scheme (server/modelpath.go).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from core.errors import BadModelName, RegistryNotAllowed

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
ALWAYS_ALLOWED = frozenset({DEFAULT_HOST, "hf.co"})
"""Registries that need not be named in the settings."""

_MOST_SHOWN = 100
_FORM = "Write a name as [host[:port]/][namespace/]model[:tag], such as llama3.2:3b or hf.co/user/model:q4."
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE | re.ASCII)
_FIRST_SIGN = re.compile("[A-Za-z0-9_]")
_WRONG_SIGN = {
    "host": re.compile("[^A-Za-z0-9_.:-]"),
    "namespace": re.compile("[^A-Za-z0-9_-]"),
    "model": re.compile("[^A-Za-z0-9_.-]"),
    "tag": re.compile("[^A-Za-z0-9_.-]"),
}
_MOST_SIGNS = {"host": 350, "namespace": 80, "model": 80, "tag": 80}
PATTERN = (
    "^(?:(?:https?://)?[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}/[A-Za-z0-9_][A-Za-z0-9_-]{0,79}/"
    "|[A-Za-z0-9_][A-Za-z0-9_-]{0,79}/)?"
    "[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,79})?$"
)
"""The same grammar as a regular expression, in the dialect of JSON Schema."""


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model's name with every part of it, in the case that it was written in. `parse` makes one.

    Compare names by `key`: `==` minds the case of letters, Ollama does not.
    """

    model: str
    tag: str = DEFAULT_TAG
    namespace: str = DEFAULT_NAMESPACE
    host: str = DEFAULT_HOST
    is_plain_http: bool = False
    """Whether it is to be pulled without TLS, because `http://` stood before its host."""
    has_own_tag: bool = True
    """Whether the tag was given, and not left out."""
    as_written: str = ""
    """What was parsed, for messages to whoever wrote it."""

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """The name that `text` spells. Raises BadModelName, which says which part will not do, and why."""
        scheme, rest = _without_scheme(text)
        has_own_tag = rest.rfind(":") > rest.rfind("/")
        path, _, tag = rest.rpartition(":") if has_own_tag else (rest, "", DEFAULT_TAG)
        host, namespace, model = _in_three(text, path, scheme)
        for part, found in (("host", host), ("namespace", namespace), ("model", model), ("tag", tag)):
            _check(text, part, found)
        return cls(model, tag, namespace, host, scheme == "http", has_own_tag, text)

    @property
    def key(self) -> str:
        """Every part in lower case: equal for two names if and only if Ollama takes them for the same model."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}".lower()

    @property
    def for_pull(self) -> str:
        """The name as Ollama is to be asked to pull it: with `http://` where that was asked for."""
        return f"http://{self.host}/{self.namespace}/{self.model}:{self.tag}" if self.is_plain_http else str(self)

    def is_same(self, listed: str) -> bool:
        """Whether it is the model that Ollama lists by that name."""
        return self.key == _key_of(listed)

    def covers(self, listed: str) -> bool:
        """The same, where a name without a tag stands for the model under any tag."""
        if self.has_own_tag:
            return self.is_same(listed)
        return self.key.rpartition(":")[0] == _key_of(listed).rpartition(":")[0]

    def __str__(self) -> str:
        """The canonical form, in which Ollama lists it: a tag always, a default host or namespace never."""
        if self.host.lower() != DEFAULT_HOST:
            return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"
        if self.namespace.lower() != DEFAULT_NAMESPACE:
            return f"{self.namespace}/{self.model}:{self.tag}"
        return f"{self.model}:{self.tag}"


def check_registry(name: ModelName, allowed: Collection[str], *, allow_insecure: bool) -> None:
    """Raise RegistryNotAllowed unless the name's host may be asked for models.

    `allowed` is `allowedRegistries` of our settings and `allow_insecure` is `allowInsecureRegistries`, without which
    no host is asked by plain http. Only a pull asks a host; nothing else needs this.
    """
    host = name.host.lower()
    if host not in ALWAYS_ALLOWED and host not in {each.lower() for each in allowed}:
        raise RegistryNotAllowed(
            f"{name} would come from the registry {name.host}, which the settings do not allow.",
            action=f'To allow it, add "{host}" to `allowedRegistries` in ollama-sidecar.json.',
        )
    if name.is_plain_http and not allow_insecure:
        raise RegistryNotAllowed(
            f"{name} would come from {name.host} by plain http, where anybody on the way can change it.",
            action="Leave out http://, or set `allowInsecureRegistries` to true in ollama-sidecar.json.",
        )


def _key_of(listed: str) -> str:
    """The key of a name that Ollama lists, whatever it is."""
    try:
        return ModelName.parse(listed).key
    except BadModelName:
        return listed


def _without_scheme(text: str) -> tuple[str | None, str]:
    found = _SCHEME.match(text)
    if found is None:
        return None, text
    scheme = found[1].lower()
    if scheme not in ("http", "https"):
        raise _bad(text, f"begins with {found[1]}://, but a registry is asked by http:// or https:// only")
    return scheme, text[found.end() :]


def _in_three(text: str, path: str, scheme: str | None) -> tuple[str, str, str]:
    parts = path.split("/")
    if scheme and len(parts) < 3:
        raise _bad(text, f"has {scheme}:// before it, but not the three parts host/namespace/model after that")
    match parts:
        case [model]:
            return DEFAULT_HOST, DEFAULT_NAMESPACE, model
        case [namespace, model]:
            return DEFAULT_HOST, namespace, model
        case [host, namespace, model]:
            return host, namespace, model
    raise _bad(text, f"has {len(parts)} parts with / between them; there are three at most, host/namespace/model")


def _check(text: str, part: str, found: str) -> None:
    if not found:
        raise _bad(text, f"has an empty {part}")
    if len(found) > _MOST_SIGNS[part]:
        raise _bad(text, f"has a {part} of {len(found)} characters; {_MOST_SIGNS[part]} are the most")
    if not _FIRST_SIGN.match(found):
        raise _bad(text, f"has a {part} that begins with {found[0]!a}, not with a letter from a to z, a digit or _")
    if wrong := _WRONG_SIGN[part].search(found):
        is_host = part == "namespace" and wrong[0] in ".:"
        hint = "; if it is a host, a namespace has to follow it" if is_host else ""
        raise _bad(text, f"has {wrong[0]!a} in its {part}, which may not hold that{hint}")


def _bad(text: str, why: str) -> BadModelName:
    shown = ascii(text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…")
    return BadModelName(f"The model name {shown} {why}.", action=_FORM)
