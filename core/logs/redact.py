"""Secrets, out of a text before anybody may read it: what URLs hold before their host, and what the environment holds.

Pure. Lean and standard library only, because the shim imports it; and cheap, because all of Ollama's output passes.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STARS = b"***"
_SHORTEST = 6
_NAME = re.compile(
    r"API_?KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|(?:^|_)(?:KEYS?|PASS|PAT|AUTH)\d*(?:_|$)", re.IGNORECASE
)
_PROXY = re.compile(r"_proxy$", re.IGNORECASE)
# Bounded, so that a secret never ends outside the window that `core.logs.lines` looks at.
_USERINFO = re.compile(rb"(?<=://)[^\s/?#@\"'<>]{1,512}@")


def secrets_of(env: Mapping[str, str]) -> list[bytes]:
    """What of these values nobody may read: those of variables named like secrets, and user and password in URLs.

    As they are, and as Go prints them in quotes; the longest first. One of less than 6 bytes is none: starring it would
    garble what has nothing to do with it.
    """
    found: set[str] = set()
    for name, value in env.items():
        if _NAME.search(name):
            # Its lines may come apart on their way.
            found.update(value.splitlines())
        if "://" in value or _PROXY.search(name):
            found.update(_credentials(value.partition("://")[2] or value))
    found |= {value.replace("\\", r"\\").replace('"', r"\"") for value in found}
    texts = {value.encode("utf-8", "surrogateescape") for value in found}
    return sorted((text for text in texts if len(text) >= _SHORTEST), key=len, reverse=True)


def _credentials(text: str) -> Iterator[str]:
    """User and password together, and the password alone, of what follows a URL's scheme. A password may hold an @."""
    for user in (text.partition("@")[0], text.rpartition("@")[0]):
        if "@" in text:
            yield user
            yield user.partition(":")[2]


class Redactor:
    """Takes secrets out of whole lines. Applied twice it does no more than once."""

    def __init__(self, secrets: list[bytes]) -> None:
        self._secrets = secrets
        self.longest = max(map(len, secrets), default=0)

    def __call__(self, lines: bytes) -> bytes:
        """The same lines with stars in the secrets' places."""
        for secret in self._secrets:
            if secret in lines:
                lines = lines.replace(secret, STARS)
        if b"@" in lines and b"://" in lines:
            lines = _USERINFO.sub(STARS + b"@", lines)
        return lines
