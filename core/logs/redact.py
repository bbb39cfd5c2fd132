"""Replaces secrets by stars: user names and passwords in URLs, and values of secret environment variables.

Pure. Standard library only, because the shim imports it; cheap, because all of Ollama's output passes through it.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

STARS = b"***"
_SHORTEST = 6
_NAME = re.compile(
    r"API_?KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|(?:^|_)(?:KEYS?|PASS|PAT|AUTH)\d*(?:_|$)", re.IGNORECASE
)
_PROXY = re.compile(r"_proxy$", re.IGNORECASE)
# Bounded, so that user and password always fit into the window that `core.logs.lines` holds back.
_USERINFO = re.compile(rb"://[^\s/?#@\"'<>]{1,512}@")


def secrets_of(env: Mapping[str, str]) -> list[bytes]:
    """The secrets in these values: those of variables with names like API_KEY, and user and password in URLs.

    Each as it is and as Go's %q prints it, the longest first. Values of less than 6 bytes are not taken for secrets:
    starring them would garble unrelated text.
    """
    found: set[str] = set()
    for name, value in env.items():
        if _NAME.search(name):
            # The log is redacted line by line.
            found.update(value.splitlines())
        if "://" in value or _PROXY.search(name):
            # "user:password" and the password alone. A password may hold an @, so take both the first and the last one.
            rest = value.partition("://")[2] or value
            for login in (rest.partition("@")[0], rest.rpartition("@")[0]) if "@" in rest else ():
                found |= {login, login.partition(":")[2]}
    found |= {value.replace("\\", r"\\").replace('"', r"\"") for value in found}
    texts = {value.encode("utf-8", "surrogateescape") for value in found}
    return sorted((text for text in texts if len(text) >= _SHORTEST), key=len, reverse=True)


class Redactor:
    """Replaces secrets in whole lines by stars. Idempotent."""

    def __init__(self, secrets: list[bytes]) -> None:
        self._secrets = secrets
        self.longest = max(map(len, secrets), default=0)

    def __call__(self, lines: bytes) -> bytes:
        """The same lines with `***` in place of each secret."""
        for secret in self._secrets:
            if secret in lines:
                lines = lines.replace(secret, STARS)
        if b"@" in lines and b"://" in lines:
            lines = _USERINFO.sub(b"://" + STARS + b"@", lines)
        return lines
