"""The page's files over HTTP: what they are, what they may do, and that nothing else is to be had."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from api.page import FILES
from core import token
from tests import fake_ollama
from tests.api.serving import serving, speak
from tests.rig import Rig

MOST_BYTES = 100_000
LINKS = {"https://ollama.com/download", "https://ollama.com/library"}
"""Where a click may lead. The page itself loads nothing of them."""


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A stand-in that would start at once."""
    return Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))


def test_all_files_together_are_small() -> None:
    sizes = {name: len(file.content) for name, file in FILES.items()}
    assert sum(sizes.values()) < MOST_BYTES, sizes
    assert {"index.html", "style.css", "app.js", "up.png", "aura-ollama.png"} <= sizes.keys()


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_inline() -> None:
    for name, file in FILES.items():
        if not file.media_type.startswith("text/"):
            continue
        text = file.content.decode()
        code = re.sub(r"^\s*(//|\*|/\*).*$", "", text, flags=re.MULTILINE) if name.endswith((".js", ".css")) else text
        found = {match[0].rstrip("\"';.,)") for match in re.finditer(r"(?:https?:)?//[a-z0-9][^\s\"'`]*", code)}
        assert found <= LINKS | {"http://www.w3.org/2000/svg"}, name
        assert not re.search(r"@import|url\(|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", code), (
            name
        )
        assert not re.search(
            r"""\son\w+\s*=\s*["']|\sstyle\s*=|javascript:""", code if name.endswith(".html") else ""
        ), name
        scripts = re.findall(r"<script([^>]*)>(.*?)</script>", code, re.DOTALL)
        assert all("src=" in attributes and not inside.strip() for attributes, inside in scripts), name


@pytest.mark.parametrize("settings", [{}, {"requireToken": True}], ids=["free", "with a token required"])
async def test_every_file_is_served_whole_with_its_type_and_policy(rig: Rig, settings: dict[str, object]) -> None:
    rig.configure(executable=rig.root / "bin" / "ollama", **settings)
    async with serving(rig) as served:
        for name, file in {"": FILES["index.html"], **{f"page/{name}": file for name, file in FILES.items()}}.items():
            async with served.http.get(f"/{name}") as response:
                assert (response.status, await response.read()) == (200, file.content), name
                expected = f"{file.media_type}; charset=utf-8" if file.media_type.startswith("text/") else "image/png"
                assert response.headers["Content-Type"] == expected
                policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
                assert policy["default-src"] == "'none'"
                assert policy["frame-ancestors"] == "'none'"
                assert not re.search("unsafe|https?:|data:|[*]", " ".join(policy.values()))
                assert response.headers["X-Frame-Options"] == "DENY"
                assert response.headers["Referrer-Policy"] == "no-referrer"
                assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
                assert "camera=()" in response.headers["Permissions-Policy"]
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["Cache-Control"] == "no-store"
            async with served.http.head(f"/{name}") as response:
                assert (response.status, await response.read()) == (200, b"")
        async with served.http.get("/api/ollama/status") as response:
            # The page opens no way around the token for anything else.
            assert response.status == (403 if settings else 200)


@pytest.mark.parametrize(
    "target",
    [
        "/page/",
        "/page/../secret.txt",
        "/page/%2e%2e/secret.txt",
        "/page/%2e%2e%2fsecret.txt",
        "/page/..%5csecret.txt",
        "/page/__init__.py",
        "/page/app.js/",
        "/page/app.js%00.txt",
        "/page/APP.JS",
        "/page/./app.js%20",
        "/page//etc/passwd",
        "/page",
        "//page/app.js",
        "/index.html",
    ],
)
async def test_no_path_leads_to_any_other_file(rig: Rig, target: str) -> None:
    (rig.root / "secret.txt").write_text("what nobody may read through us")
    async with serving(rig) as served:
        request = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nConnection: close\r\n\r\n"
        answer = await speak(served.port, request.encode())
        assert answer.split(b" ")[1] in {b"400", b"403", b"404"}, answer
        assert b"what nobody may read" not in answer
        assert b"application/problem+json" in answer


FROM_A_LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


async def test_a_link_on_any_page_may_open_it_in_a_window_of_its_own_and_do_nothing_else(rig: Rig) -> None:
    async with serving(rig) as served:
        for path, status in (("/", 200), ("/api/ollama/status", 403), ("/nowhere", 403)):
            async with served.http.get(path, headers=FROM_A_LINK) as response:
                assert response.status == status, path
        refused: list[dict[str, str]] = [
            {"Sec-Fetch-Dest": destination} for destination in ("iframe", "frame", "embed", "object", "empty", "script")
        ]
        refused += [{"Sec-Fetch-Mode": mode} for mode in ("no-cors", "same-origin", "websocket")]
        refused += [
            {"Host": "evil.com"},
            {"Host": "127.0.0.1.nip.io"},
            {"Origin": "null"},
            {"Origin": "http://evil.com"},
        ]
        for lines in refused:
            async with served.http.get("/", headers=FROM_A_LINK | lines) as response:
                assert response.status == 403, lines
        async with served.http.post("/", headers=FROM_A_LINK) as response:
            assert response.status == 403


async def test_the_page_names_no_file_that_there_is_not_and_holds_no_secret(rig: Rig) -> None:
    named = set(re.findall(r"/page/([\w.-]+)", FILES["index.html"].content.decode()))
    for name, file in FILES.items():
        if name.endswith(".js"):
            named |= set(re.findall(r'from "\./([\w.-]+)"', file.content.decode()))
    assert named <= FILES.keys()
    async with serving(rig) as served:
        secret = await asyncio.to_thread(token.read_or_create, rig.paths.run)
        assert secret not in "".join(file.content.decode("latin-1") for file in FILES.values())
        async with served.http.get("/") as response:
            assert secret not in await response.text()
