"""Where Ollama answers: `ollamaUrl` taken apart once, for probing, for the child's OLLAMA_HOST, and for "is it here?".

Pure, except `is_local`, which asks for this machine's addresses. Nothing is resolved or contacted here.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

import psutil

from core.errors import ConfigError

_OLLAMA_PORT = 11434
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONTACT = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, never listened on
_MAX_LENGTH = 2048
_AUTHORITY = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::([0-9]*))?")
_HOST_NAME = re.compile(r"(?!.{254})[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_][a-z0-9_-]{0,62})*")
# As in browsers, a name whose last label is a number can only be an IPv4 address. That keeps out 127.1 and 0x7f000001,
# which some resolvers take for loopback and others do not.
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_WAY_OUT = 'Set `ollamaUrl` to an address such as "http://127.0.0.1:11434".'


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One parsed `ollamaUrl`. `host` is lower case, without brackets; `path` is empty or starts with a slash."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Take `ollamaUrl` apart.

        Without a scheme it means http and, without a port, 11434; with one, the scheme's own port. Credentials are
        dropped. An IPv4 address in IPv6 clothes (`::ffff:127.0.0.1`) is taken as the IPv4 address. Raises
        `ConfigError`, which shows the value without credentials.
        """
        try:
            return _parse(text.strip())
        except ValueError as error:
            raise ConfigError(f'`ollamaUrl` is "{redacted(text)}": {error}', action=_WAY_OUT) from None

    @property
    def base_url(self) -> str:
        """What to contact, without a closing slash or credentials. A wildcard is contacted on its own loopback."""
        host = _bracketed(_CONTACT.get(self.host, self.host))
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"

    @property
    def ollama_host(self) -> str:
        """OLLAMA_HOST for a child that shall answer here: `host:port`, a wildcard kept."""
        return f"{_bracketed(self.host)}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """The host can only be this machine's loopback. Names are judged by RFC 6761, not looked up."""
        address = _address(self.host)
        if address is None:
            return self.host == "localhost" or self.host.endswith(".localhost")
        return address.is_loopback

    @property
    def is_local(self) -> bool:
        """The host is this machine: loopback, a wildcard, or an address that an interface has right now."""
        return self.is_loopback or self.host in _CONTACT or self.host in _interface_addresses()

    @property
    def is_manageable(self) -> bool:
        """An `ollama serve` started on this machine could answer here: local, plain http, and no path before /api."""
        return self.scheme == "http" and not self.path and self.is_local


def _parse(text: str) -> Endpoint:
    if not text:
        raise ValueError("it is empty")
    if len(text) > _MAX_LENGTH:
        raise ValueError("it is too long")
    if re.search(r"[\s\\\x00-\x1f\x7f\ud800-\udfff]", text):
        raise ValueError("it holds a space, a backslash or a control character")
    scheme, authority, path = _split(text if _address(text) is None else _bracketed(text))
    host, port = _host_and_port(authority)
    if port is None:
        port = _DEFAULT_PORTS[scheme] if "://" in text else _OLLAMA_PORT
    if not 1 <= port <= 65535:
        raise ValueError("the port must be a number from 1 to 65535")
    return Endpoint(scheme, host, port, path.rstrip("/"))


def _split(text: str) -> tuple[str, str, str]:
    """Scheme, authority and path. The messages are ours, because the library's may quote credentials."""
    has_scheme = "://" in text
    if not has_scheme and re.match(r"https?:(?:/|$)", text, re.IGNORECASE):
        raise ValueError("a scheme is followed by `://`")
    try:
        parts = urlsplit(text if has_scheme else f"http://{text}")
    except ValueError:
        raise ValueError("its host cannot be understood") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("only http:// and https:// are understood")
    if "?" in text or "#" in text:
        raise ValueError("a query or a fragment has no place in it")
    return parts.scheme, parts.netloc.rpartition("@")[2], parts.path


def _host_and_port(authority: str) -> tuple[str, int | None]:
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise ValueError("after the host only a port number may follow, and an IPv6 address needs brackets")
    bracketed, name, port = match.groups()
    if bracketed is None and not name:
        raise ValueError("it names no host")
    return _ipv6(bracketed) if bracketed is not None else _name(name), int(port) if port else None


def _ipv6(text: str) -> str:
    address = _address(text)
    if not isinstance(address, IPv6Address) or address.scope_id is not None:
        raise ValueError("in brackets belongs an IPv6 address, without a zone")
    return str(address.ipv4_mapped or address)


def _name(text: str) -> str:
    try:
        host = text.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        raise ValueError("its host is no valid name") from None
    if _ENDS_IN_NUMBER.fullmatch(host):
        if _address(host) is None:
            raise ValueError(f"{host} is no IPv4 address")
    elif not _HOST_NAME.fullmatch(host):
        raise ValueError("its host is no valid name")
    return host


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _interface_addresses() -> set[str]:
    try:
        interfaces = psutil.net_if_addrs()
    except OSError:
        return set()
    texts = (row.address.partition("%")[0] for rows in interfaces.values() for row in rows)
    return {str(address) for text in texts if (address := _address(text)) is not None}


def redacted(text: str) -> str:
    """The value, fit for a log: secrets (all before the last `@`, and after a `?` or `#`) starred, and not endless."""
    secret, at, shown = text.rpartition("@")
    if at:
        scheme, separator, _ = secret.partition("://")
        shown = f"{scheme}://***@{shown}" if separator and "@" not in scheme else f"***@{shown}"
    shown = re.sub(r"([?#]).+", r"\1***", shown, flags=re.DOTALL)
    return shown[:200].encode("utf-8", "backslashreplace").decode("utf-8")
