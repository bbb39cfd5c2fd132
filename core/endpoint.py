"""Where Ollama answers: `ollamaUrl`, parsed once, for probes, the child's OLLAMA_HOST, and "is it here?".

Pure, except `is_local` and `suggestion`, which read this machine's addresses and name. Resolves and contacts nothing.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import unquote, urlsplit

import psutil

from core.errors import ConfigError

_OLLAMA_PORT = 11434
_DEFAULT_PORTS = {"http": 80, "https": 443}
_WILDCARD = "::"
WILDCARDS = frozenset({"0.0.0.0", _WILDCARD, "*"})  # noqa: S104 - looked for, never listened on
"""All addresses of a machine, as a URL or a system's table of sockets may write them."""
# An Ollama that is told to listen at `::` uses IPv4 alone where the machine has no IPv6; `localhost` covers both.
_CONTACT = {"0.0.0.0": "127.0.0.1", _WILDCARD: "localhost"}  # noqa: S104 - recognised, never listened on
_API_PATHS = ("/v1", "/api")
_MAX_LENGTH = 2048
_AUTHORITY = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::([0-9]*))?")
_HOST_NAME = re.compile(r"(?!.{254})[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_][a-z0-9_-]{0,62})*")
# As in browsers, a name whose last label is a number can only be an IPv4 address. That keeps out 127.1 and 0x7f000001,
# which some resolvers take for loopback and others do not.
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_WAY_OUT = 'Set `ollamaUrl` to an address such as "http://127.0.0.1:11434".'


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One parsed `ollamaUrl`. `host` is lower case, without brackets; `path` is empty or starts with a slash.

    `login` is the user name and the password that the URL holds; no text made of an endpoint shows it.
    """

    scheme: str
    host: str
    port: int
    path: str = ""
    login: tuple[str, str] | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Parse `ollamaUrl`.

        Without a scheme, http is meant, and without a port 11434; with a scheme, the scheme's own port. A port alone
        (`:8200`) means all addresses of this machine, as in Ollama's OLLAMA_HOST. An IPv4-mapped IPv6 address
        (`::ffff:127.0.0.1`) becomes the IPv4 address. Raises `ConfigError`, which shows the value without credentials.
        """
        try:
            return _parse(text.strip())
        except ValueError as error:
            raise ConfigError(f'`ollamaUrl` is "{redacted(text)}": {error}', action=_WAY_OUT) from None

    @property
    def base_url(self) -> str:
        """The URL to call, without a trailing slash or credentials. For a wildcard it is one on loopback."""
        host = bracketed(_CONTACT.get(self.host, self.host))
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"

    @property
    def ollama_host(self) -> str:
        """OLLAMA_HOST for a child that is to listen here: `host:port`; a wildcard stays one."""
        return f"{bracketed(self.host)}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """The host is this machine's loopback. Of names only `localhost` and below count (RFC 6761)."""
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

    @property
    def suggestion(self) -> str | None:
        """The `ollamaUrl` that was probably meant, None if there is nothing to suggest.

        No Ollama could be started for this machine under its own name, by https or with a path. And other programs ask
        for an address that ends in `/v1` or `/api`, which Ollama's does not.
        """
        is_own_name = self.host in _own_names()
        if not self.is_manageable and (is_own_name or self.is_local):
            host = "127.0.0.1" if is_own_name else bracketed(self.host)
            # A URL without a port means 80, but its author hardly meant that.
            port = _OLLAMA_PORT if self.port == _DEFAULT_PORTS[self.scheme] else self.port
            return f"http://{host}:{port}"
        if self.path in _API_PATHS:
            return self.base_url.removesuffix(self.path)
        return None


def _parse(text: str) -> Endpoint:
    if not text:
        raise ValueError("it is empty")
    if len(text) > _MAX_LENGTH:
        raise ValueError("it is too long")
    if re.search(r"[\s\\\x00-\x1f\x7f\ud800-\udfff]", text):
        raise ValueError("it holds a space, a backslash or a control character")
    scheme, authority, path = _split(text if _address(text) is None else bracketed(text))
    userinfo, _, address = authority.rpartition("@")
    host, port = _host_and_port(address)
    if port is None:
        port = _DEFAULT_PORTS[scheme] if "://" in text else _OLLAMA_PORT
    if not 1 <= port <= 65535:
        raise ValueError("the port must be a number from 1 to 65535")
    return Endpoint(scheme, host, port, path.rstrip("/"), _login(userinfo))


def _split(text: str) -> tuple[str, str, str]:
    """Scheme, authority with credentials, and path. The messages are ours, as the library's may quote credentials."""
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
    return parts.scheme, parts.netloc, parts.path


def _login(userinfo: str) -> tuple[str, str] | None:
    """The user name and the password, percent-decoded."""
    if not userinfo:
        return None
    try:
        name, password = (unquote(part, errors="strict") for part in userinfo.partition(":")[::2])
    except UnicodeDecodeError:
        raise ValueError("its user name or password holds bytes that are no UTF-8") from None
    if ":" in name:
        # Basic authorization ends the name at the first colon: https://www.rfc-editor.org/rfc/rfc7617#section-2
        raise ValueError("its user name holds a colon")
    return name, password


def _host_and_port(authority: str) -> tuple[str, int | None]:
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise ValueError("after the host only a port number may follow, and an IPv6 address needs brackets")
    bracketed, name, port = match.groups()
    if bracketed is None and not name:
        if not port:
            raise ValueError("it names no host")
        return _WILDCARD, int(port)
    if bracketed is None:
        return _name(name), int(port) if port else None
    address = _address(bracketed)
    if not isinstance(address, IPv6Address) or address.scope_id is not None:
        raise ValueError("in brackets belongs an IPv6 address, without a zone")
    return str(address.ipv4_mapped or address), int(port) if port else None


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


def bracketed(host: str) -> str:
    """A host as it stands before a port: an IPv6 address needs brackets."""
    return f"[{host}]" if ":" in host else host


def _interface_addresses() -> set[str]:
    try:
        interfaces = psutil.net_if_addrs()
    except OSError:
        return set()
    texts = (row.address.partition("%")[0] for rows in interfaces.values() for row in rows)
    return {str(address) for text in texts if (address := _address(text)) is not None}


def _own_names() -> set[str]:
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return {name, short, f"{short}.local"} - {""}


def write_instead(meant: str) -> str:
    """The way out of an `ollamaUrl` that is none of Ollama's, where `meant` is the suggestion."""
    return f'Set ollamaUrl to "{meant}": Ollama\'s own address, by plain http and without a path.'


def redacted(text: str) -> str:
    """The value for a log, 200 characters at most: what is before the last `@`, or after a `?` or `#`, is starred."""
    secret, at, shown = text.rpartition("@")
    if at:
        scheme, separator, _ = secret.partition("://")
        shown = f"{scheme}://***@{shown}" if separator and "@" not in scheme else f"***@{shown}"
    shown = re.sub(r"([?#]).+", r"\1***", shown, flags=re.DOTALL)
    return shown[:200].encode("utf-8", "backslashreplace").decode("utf-8")
