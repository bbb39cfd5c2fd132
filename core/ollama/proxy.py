"""Which proxy to use for another machine, by the variables http_proxy, https_proxy and no_proxy, read as curl does."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit
from urllib.request import getproxies_environment, proxy_bypass


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's URL without its login, and the headers that log in there.

    With `is_tunnel` the headers belong to the CONNECT that asks for a tunnel, without it to the call itself.
    """

    url: str
    headers: dict[str, str] = field(repr=False)
    is_tunnel: bool


def proxy_for(url: str) -> Proxy | None:
    """The proxy for `url`, None if none is set or `no_proxy` names the host.

    A value without a scheme means http. The login, percent-decoded, is sent as Basic authorization, whatever it holds.
    Raises ValueError if the value is no URL of an HTTP proxy; the text names the variable, not its value, which may
    hold a password.
    """
    target = urlsplit(url)
    proxies = getproxies_environment()
    value = proxies.get(target.scheme)
    if not value or proxy_bypass(target.netloc):
        return None
    proxy = value if "://" in value else f"http://{value}"
    if not (parts := _usable(proxy)):
        raise ValueError(f"The proxy in {target.scheme}_proxy is no URL such as http://127.0.0.1:3128.")
    login, at, address = parts.netloc.rpartition("@")
    headers = {}
    if at:
        name, _, password = login.partition(":")
        basic = b64encode(unquote_to_bytes(name) + b":" + unquote_to_bytes(password)).decode()
        headers["Proxy-Authorization"] = f"Basic {basic}"
    return Proxy(f"{parts.scheme}://{address}", headers, target.scheme == "https")


def _usable(proxy: str) -> SplitResult | None:
    """The parts of an HTTP proxy's URL, None if it is no such URL."""
    try:
        parts = urlsplit(proxy)
        # Reading the port raises ValueError if it is not a number up to 65535.
        parts.port  # noqa: B018
    except ValueError:
        return None
    is_bare = parts.path in ("", "/") and not parts.query and not parts.fragment
    return parts if parts.scheme in ("http", "https") and parts.hostname and is_bare else None
