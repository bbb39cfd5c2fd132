"""`ollamaUrl`, taken apart: what is contacted, what the child is told, and what counts as this machine."""

from __future__ import annotations

import socket

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.endpoint import Endpoint
from core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "base_url", "ollama_host"),
    [
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434", "127.0.0.1:11434"),
        ("127.0.0.1:11435", "http://127.0.0.1:11435", "127.0.0.1:11435"),
        ("127.0.0.1", "http://127.0.0.1:11434", "127.0.0.1:11434"),
        ("localhost", "http://localhost:11434", "localhost:11434"),
        ("  localhost:1/ \n", "http://localhost:1", "localhost:1"),
        ("http://127.0.0.1", "http://127.0.0.1", "127.0.0.1:80"),
        ("https://ollama.example", "https://ollama.example", "ollama.example:443"),
        ("https://ollama.example:80", "https://ollama.example:80", "ollama.example:80"),
        ("HTTP://LocalHost.:1", "http://localhost:1", "localhost:1"),
        ("http://[::1]:11434/", "http://[::1]:11434", "[::1]:11434"),
        ("http://[0:0::0:1]:2", "http://[::1]:2", "[::1]:2"),
        ("::1", "http://[::1]:11434", "[::1]:11434"),
        ("http://0.0.0.0:11434", "http://127.0.0.1:11434", "0.0.0.0:11434"),
        ("http://[::]:11434", "http://localhost:11434", "[::]:11434"),
        (":8200", "http://localhost:8200", "[::]:8200"),
        ("http://:8200/", "http://localhost:8200", "[::]:8200"),
        ("http://[::ffff:127.0.0.1]:3", "http://127.0.0.1:3", "127.0.0.1:3"),
        ("http://[::ffff:0.0.0.0]:3", "http://127.0.0.1:3", "0.0.0.0:3"),
        ("http://proxy.example/Ollama/v1//", "http://proxy.example/Ollama/v1", "proxy.example:80"),
        ("proxy.example/ollama", "http://proxy.example:11434/ollama", "proxy.example:11434"),
        ("http://user:word@gpu-box:11434/", "http://gpu-box:11434", "gpu-box:11434"),
        ("http://gpu_box:11434", "http://gpu_box:11434", "gpu_box:11434"),
        ("http://müller.example:1", "http://xn--mller-kva.example:1", "xn--mller-kva.example:1"),
        ("http://\uff11\uff12\uff17.0.0.1:1", "http://127.0.0.1:1", "127.0.0.1:1"),
    ],
)
def test_url_is_normalised(text: str, base_url: str, ollama_host: str) -> None:
    """A missing scheme means http and 11434; case, trailing dots, slashes and credentials go."""
    endpoint = Endpoint.parse(text)
    assert (endpoint.base_url, endpoint.ollama_host) == (base_url, ollama_host)


def test_parts_are_the_canonical_ones() -> None:
    """Host without brackets, path without its closing slash."""
    endpoint = Endpoint.parse("https://[::1]:99/a/b/")
    assert (endpoint.scheme, endpoint.host, endpoint.port, endpoint.path) == ("https", "::1", 99, "/a/b")


@pytest.mark.parametrize(
    ("text", "is_loopback", "is_local", "is_manageable"),
    [
        ("http://127.0.0.1:1", True, True, True),
        ("http://127.255.3.9:1", True, True, True),
        ("http://localhost:1", True, True, True),
        ("http://aura.localhost:1", True, True, True),
        ("http://[::1]:1", True, True, True),
        ("http://[::ffff:127.9.9.9]:1", True, True, True),
        ("http://0.0.0.0:1", False, True, True),
        ("http://[::]:1", False, True, True),
        ("https://127.0.0.1:1", True, True, False),
        ("http://127.0.0.1:1/ollama", True, True, False),
        ("http://192.0.2.1:1", False, False, False),
        ("http://[2001:db8::1]:1", False, False, False),
        ("http://localhost.evil.example:1", False, False, False),
        ("http://notlocalhost:1", False, False, False),
        ("http://127.0.0.1.evil.example:1", False, False, False),
        ("http://128.0.0.1:1", False, False, False),
    ],
)
def test_this_machine_is_known(text: str, is_loopback: bool, is_local: bool, is_manageable: bool) -> None:
    """Only loopback and wildcards count without asking; a scheme or a path of its own means a proxy."""
    endpoint = Endpoint.parse(text)
    assert (endpoint.is_loopback, endpoint.is_local, endpoint.is_manageable) == (is_loopback, is_local, is_manageable)


def test_own_interface_addresses_are_local() -> None:
    """Every IPv4 address that an interface has now is this machine; the next one in a test network is not."""
    rows = [row for rows in psutil.net_if_addrs().values() for row in rows if row.family == socket.AF_INET]
    assert rows
    for row in rows:
        endpoint = Endpoint.parse(f"http://{row.address}:11434")
        assert endpoint.is_local
        assert endpoint.is_manageable


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("ftp://127.0.0.1", "only http"),
        ("http:/127.0.0.1", "://"),
        ("http:", "://"),
        ("http://", "names no host"),
        (":", "names no host"),
        ("http://:", "names no host"),
        ("http://us%3Aer:word@h", "colon"),
        ("http://user:%ff@h", "UTF-8"),
        ("http://127.0.0.1:0", "port"),
        ("http://127.0.0.1:65536", "port"),
        ("http://127.0.0.1:http", "port"),
        ("http://127.0.0.1:+80", "port"),
        ("http://::1:11434", "brackets"),
        ("http://[::1]x:80", "port|host"),
        ("http://x[::1]:80", "port|host"),
        ("http://[127.0.0.1]:80", "host cannot be understood|IPv6"),
        ("http://[fe80::1%25eth0]:80", "host cannot be understood|IPv6"),
        ("http://[fe80::1", "host cannot be understood"),
        ("http://127.1:80", "no IPv4"),
        ("http://2130706433:80", "no IPv4"),
        ("http://0x7f000001:80", "no IPv4"),
        ("http://127.0.0.01:80", "no IPv4"),
        ("http://a..b:80", "no valid name"),
        ("http://*:80", "no valid name"),
        ("http://%6cocalhost:80", "no valid name"),
        ("http://-a:80", "no valid name"),
        ("http://127.0.0.1\\@evil.example", "backslash"),
        ("http://127.0.0.1 :80", "space"),
        ("http://127.0.0.1\t.evil.example", "space"),
        ("http://127.0.0.1:80/\ud800", "control"),
        ("http://h/" + "x" * 3000, "too long"),
    ],
)
def test_nonsense_is_refused_by_name(text: str, reason: str) -> None:
    """The error names the field, shows the value, gives a reason and a way out."""
    with pytest.raises(ConfigError, match=reason) as caught:
        Endpoint.parse(text)
    assert caught.value.message.startswith('`ollamaUrl` is "')
    assert caught.value.action is not None
    assert "http://127.0.0.1:11434" in caught.value.action
    assert caught.value.message.encode("utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "ftp://user:hunter2@h",
        "http://user:hunter2@h:x",
        "http://user:hunter/2@h",
        "http://us@er:hunter2?@h#x",
        "user:hunter2@h:x",
        "http://h?key=hunter2",
        "http://h#hunter2",
        "http://user:hunter2@",
        "http://user:hunter2@[::1",
        "http://user:hunter2%ff@h",
        "http://hunter%3A2:x@h",
    ],
)
def test_errors_tell_no_secret(text: str) -> None:
    """Whatever is wrong with it, no password or key of the value is repeated."""
    with pytest.raises(ConfigError) as caught:
        Endpoint.parse(text)
    assert "hunter" not in f"{caught.value.message}{caught.value.action}"
    assert "***" in caught.value.message
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("http://h:1", None),
        ("http://@h:1", None),
        ("http://user:word@h:1", ("user", "word")),
        ("user:word@h:1", ("user", "word")),
        ("http://user@h:1", ("user", "")),
        ("http://:word@h:1", ("", "word")),
        ("http://m%C3%BCller%40home:a%3Ab%2F%23@h:1", ("müller@home", "a:b/#")),
        ("http://user:wo:rd@h:1", ("user", "wo:rd")),
    ],
)
def test_a_login_is_decoded(text: str, login: tuple[str, str] | None) -> None:
    assert Endpoint.parse(text).login == login


def test_no_text_of_an_endpoint_shows_its_login() -> None:
    """Not even its repr."""
    endpoint = Endpoint.parse("https://user:hunter2@127.0.0.1/x")
    assert "hunter2" not in f"{endpoint!r}{endpoint.base_url}{endpoint.ollama_host}{endpoint.suggestion}"


NAME = socket.gethostname().lower()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("http://127.0.0.1:8200/v1", "http://127.0.0.1:8200"),
        ("http://127.0.0.1:8200/api/", "http://127.0.0.1:8200"),
        ("http://localhost:8200/api/tags", "http://localhost:8200"),
        ("http://[::1]:8200/v1", "http://[::1]:8200"),
        ("http://0.0.0.0:8200/v1", "http://0.0.0.0:8200"),
        ("http://127.0.0.1/v1", "http://127.0.0.1:11434"),
        ("https://127.0.0.1:8200", "http://127.0.0.1:8200"),
        ("https://localhost", "http://localhost:11434"),
        (f"http://{NAME}:8200", "http://127.0.0.1:8200"),
        (f"http://{NAME.upper()}:8200/v1", "http://127.0.0.1:8200"),
        (f"http://{NAME.partition('.')[0]}.local:8200", "http://127.0.0.1:8200"),
        (f"http://{NAME}", "http://127.0.0.1:11434"),
        ("http://gpu-box:8200/v1", "http://gpu-box:8200"),
        ("http://gpu-box:8200/ollama", None),
        ("http://gpu-box:8200", None),
        ("http://127.0.0.1:8200", None),
        ("http://0.0.0.0:8200", None),
    ],
)
def test_what_was_probably_meant_is_said_in_full(text: str, meant: str | None) -> None:
    endpoint = Endpoint.parse(text)
    assert endpoint.suggestion == meant
    if meant and endpoint.host != "gpu-box":
        assert Endpoint.parse(meant).is_manageable


@settings(deadline=None)  # the machine may be busy with something else
@given(st.text(max_size=40) | st.from_regex(r"(https?://)?[a-z0-9.:\[\]@%/-]{0,25}", fullmatch=True))
def test_any_text_is_an_endpoint_or_a_config_error(text: str) -> None:
    """And what it is contacted by means the same endpoint again."""
    try:
        endpoint = Endpoint.parse(text)
    except ConfigError:
        return
    again = Endpoint.parse(endpoint.base_url)
    assert again.base_url == endpoint.base_url
    assert (again.port, again.path) == (endpoint.port, endpoint.path)
    assert not endpoint.path.endswith("/")
    assert "@" not in endpoint.base_url.removesuffix(endpoint.path)
