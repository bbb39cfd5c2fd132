"""Which proxy stands between us and another machine: what the environment's variables say, read as curl reads them."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass


def proxy_for(url: str) -> str | None:
    """The URL of the proxy for `url`, None if it is to be asked directly (`no_proxy`).

    A value without a scheme means http. Raises ValueError, which names the variable and not its value (that may hold a
    password), if it is no URL of an HTTP proxy.
    """
    target = urlsplit(url)
    proxies = getproxies_environment()
    value = proxies.get(target.scheme)
    if not value or proxy_bypass(target.netloc):
        return None
    proxy = value if "://" in value else f"http://{value}"
    if not _is_usable(proxy):
        raise ValueError(f"The proxy in {target.scheme}_proxy is no URL such as http://127.0.0.1:3128.")
    return proxy


def _is_usable(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        # Reading the port judges it.
        parts.port  # noqa: B018
    except ValueError:
        return False
    is_bare = parts.path in ("", "/") and not parts.query and not parts.fragment
    return parts.scheme in ("http", "https") and bool(parts.hostname) and is_bare
