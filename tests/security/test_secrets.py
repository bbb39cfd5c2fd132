"""What is secret in the environment and in the settings stays out of every log, record, error and answer."""

from __future__ import annotations

import asyncio
import json
import os
import random
import stat
import sys
from pathlib import Path

import pytest

from api.schemas import status_body
from core import token
from core.logs.lines import LineCutter
from core.logs.redact import Redactor, secrets_of
from tests import fake_ollama
from tests.api.serving import serving
from tests.api.test_server import Place
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call, free_port
from tests.rig import Rig

SECRETS = {
    "OLLAMA_API_KEY": "sk-0123456789abcdef",
    "OLLAMA_AUTH": 'quoted"and\\escaped',
    "HTTPS_PROXY": "http://corp-user:corp@pass/word@127.0.0.1:9",
    "HTTP_PROXY": "socks5://only-user:s3cr3t-pass@127.0.0.1:9",
    "ALL_PROXY": "bare-user:bare-pass@127.0.0.1:9",
    "HF_TOKEN": "hf_abcdefghijkl",
    "SOME_DATABASE": "postgres://db-user:db-password@127.0.0.1/x",
}
JSON = {"Content-Type": "application/json"}
WORDS = (
    "sk-0123456789abcdef",
    "quoted",
    "corp-user",
    "word@127",
    "only-user",
    "s3cr3t-pass",
    "bare-user",
    "bare-pass",
    "hf_abcdefghijkl",
    "db-user",
    "db-password",
)


def everything_written(root: Path) -> str:
    """All files below the data folder but the user's own settings and the program."""
    own = {"settings.json", "ollama-sidecar.json"}
    files = [path for path in (root / "AuraData").rglob("*") if path.is_file() and path.name not in own]
    program = set((root / "AuraData/run").glob("shim-*/**/*"))
    return "\n".join(path.read_text(errors="replace") for path in files if path not in program)


def leaked(text: str) -> list[str]:
    """The secrets that are in it."""
    return [word for word in WORDS if word in text]


async def test_no_secret_of_the_environment_reaches_the_log_or_an_answer(tmp_path: Path) -> None:
    """The real Ollama prints its environment when it starts, the proxies included."""
    rig = Rig(tmp_path, require(ollama).executable).with_model()
    env = {"HOME": str(tmp_path), "OLLAMA_MODELS": str(tmp_path / "models"), "OLLAMA_DEBUG": "1", **SECRETS}
    rig.configure(executable=require(ollama).executable, env=env)
    async with serving(rig) as served:
        async with served.http.post("/api/ollama/start", headers=JSON) as response:
            assert response.status == 200
        async with served.http.get("/api/ollama/logs?maxLines=10000") as response:
            told = await response.text()
        async with served.http.get("/api/ollama/status") as response:
            told += await response.text()
    assert "HTTPS_PROXY:http://***" in told
    assert leaked(told) == []
    assert leaked(everything_written(tmp_path)) == []


async def test_no_secret_is_in_the_last_words_of_a_start_that_failed(tmp_path: Path) -> None:
    words = " ".join([*SECRETS.values(), "proxy http://other:credentials@host/ refused"])
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_STDERR=f"{words}\n", FAKE_EXIT="1"))
    rig.configure(env={"HOME": str(tmp_path), **SECRETS})
    async with serving(rig) as served:
        async with served.http.post("/api/ollama/start", headers=JSON) as response:
            told = await response.text()
            assert response.status == 500
        async with served.http.get("/api/ollama/status") as response:
            told += await response.text()
    assert "refused" in told
    assert leaked(told) == []
    assert "credentials" not in told
    assert leaked(everything_written(tmp_path)) == []


@pytest.mark.parametrize(
    "content",
    [
        '{"env": {"OLLAMA_API_KEY": 123456789}}',
        '{"env": {"OLLAMA_API_KEY": ["sk-0123456789abcdef"]}}',
        '{"env": "OLLAMA_API_KEY=sk-0123456789abcdef"}',
        '{"env": {"OLLAMA_API_KEY": "sk-0123456789abcdef}}',
        '{"env": {"OLLAMA_API_KEY": "sk-0123456789abcdef\\u0000"}}',
        '{"env": {"OLLAMA_HOST": "http://only-user:s3cr3t-pass@x"}}',
    ],
)
async def test_a_settings_error_shows_no_value_of_the_environment(tmp_path: Path, content: str) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    rig.paths.sidecar.write_text(content)
    # While these settings have never been usable the token is asked for.
    async with serving(rig) as served:
        headers = {"X-Aura-Token": await asyncio.to_thread(token.read_or_create, rig.paths.run)}
        async with served.http.get("/api/ollama/status", headers=headers) as response:
            told = await response.json()
    assert told["settingsError"]
    assert "123456789" not in str(told)
    assert leaked(str(told)) == []


@pytest.mark.parametrize("url", ["http://only-user:s3cr3t-pass@127.0.0.1:99999", "ftp://only-user:s3cr3t-pass@x"])
async def test_an_ollama_url_that_will_not_do_is_shown_without_its_credentials(tmp_path: Path, url: str) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    rig.url = url
    rig.configure()
    async with serving(rig) as served:
        told = str(status_body(await served.supervisor.status()))
        for method, path in (("POST", "start"), ("GET", "models"), ("GET", "status")):
            async with served.http.request(method, f"/api/ollama/{path}", headers=JSON) as response:
                told += await response.text()
    assert leaked(told) == []


async def test_the_environment_is_on_the_disk_for_this_user_only_and_not_once_it_is_used(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    rig.configure(env={"HOME": str(tmp_path), **SECRETS})
    async with rig.supervising() as supervisor:
        await supervisor.start()
        (record,) = [path for path in rig.paths.run.iterdir() if not path.name.startswith("shim-")]
        assert record.name == "default.json"
        if sys.platform != "win32":
            assert stat.S_IMODE(record.stat().st_mode) == 0o600
            assert stat.S_IMODE(rig.paths.run.stat().st_mode) == 0o700


async def test_a_shim_that_comes_to_nothing_leaves_no_environment_behind(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    (tmp_path / "AuraData" / "logs").write_text("a file where the folder should be")
    rig.configure(env={"HOME": str(tmp_path), **SECRETS})
    async with serving(rig) as served:
        async with served.http.post("/api/ollama/start", headers=JSON) as response:
            assert response.status == 500
        assert leaked(await asyncio.to_thread(everything_written, tmp_path)) == []


def test_the_sidecars_own_log_tells_neither_token_nor_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    executable = fake_ollama.install(tmp_path / "bin", FAKE_STDERR=" ".join(SECRETS.values()), FAKE_EXIT="1")
    bed = Sidecar(tmp_path, executable=executable, models=tmp_path, ollama_port=free_port())
    with bed as sidecar:
        secret = (tmp_path / "AuraData/run/token").read_text().strip()
        for headers in ({"X-Aura-Token": secret}, {"Authorization": f"Bearer {secret}"}, {}):
            call("POST", f"{sidecar.url}/api/ollama/start", headers=headers)
            call("GET", f"{sidecar.url}/{SECRETS['HF_TOKEN']}", headers=headers)
    log = (tmp_path / "AuraData/logs/sidecar.log").read_text()
    said = bed.errors.read_text()
    assert "POST" in log
    assert leaked(log + said) == []
    assert secret not in log + said


def test_the_sidecars_own_log_tells_no_secret_of_the_settings_however_often_they_change(tmp_path: Path) -> None:
    place = Place(tmp_path, FAKE_EXIT="1")
    own = {"HOME": str(tmp_path)}
    later = {"LATER_API_KEY": "later-0123456789", "LATER_PROXY": "http://later-user:later-pass@127.0.0.1:9"}
    with place.sidecar({"env": own | SECRETS}) as sidecar:
        call("POST", f"{sidecar.url}/api/ollama/start")
        call("GET", f"{sidecar.url}/before/{SECRETS['HF_TOKEN']}")
        place.settings.write_text(json.dumps({"env": own | later, "stopOnTerminate": True}))
        # Whoever starts, looks at the settings first.
        call("POST", f"{sidecar.url}/api/ollama/start")
        call("GET", f"{sidecar.url}/after/{SECRETS['HF_TOKEN']}/{later['LATER_API_KEY']}/later-pass")
    told = (tmp_path / "AuraData/logs/sidecar.log").read_text() + sidecar.errors.read_text()
    assert "/before/***" in told
    assert "/after/***/***/***" in told
    assert leaked(told) == []


def test_no_half_of_a_secret_is_left_where_a_long_line_is_cut_or_a_read_ends() -> None:
    secret = b"sk-0123456789abcdef" * 100
    redactor = Redactor([secret])
    seen = random.Random(7)
    for _ in range(300):
        before, after = seen.randrange(30_000, 36_000), seen.randrange(0, 40_000)
        line = b"." * before + secret + b"." * after + b"\n"
        cutter = LineCutter(redactor=redactor)
        cut = seen.randrange(1, len(line))
        out = b"".join([*cutter.feed(line[:cut]), *cutter.feed(line[cut:]), *cutter.flush()])
        assert b"0123456789abcdef" not in out
        assert out.replace(b"\n", b"") == line.replace(secret, b"***").replace(b"\n", b"")


def test_a_key_of_many_lines_hides_no_other_secret() -> None:
    lines = [f"line-{number:04}-of-a-private-key" for number in range(60)]
    names = ("PGPASSWORD", "MYAPIKEY", "OLLAMA_AUTHTOKEN", "OLLAMA_API_KEY2", "GITHUB_PAT")
    env = {"TLS_KEY": "\n".join(lines)} | {name: f"secret-of-{name}" for name in names}
    redact = Redactor(secrets_of(env))
    for secret in (*lines, *(env[name] for name in names)):
        assert redact(f"before {secret} after\n".encode()) == b"before *** after\n"


def test_what_is_no_secret_stays() -> None:
    harmless = {
        "OLLAMA_KEEP_ALIVE": "5m0s-and-more",
        "OLLAMA_AUTH": "true",
        "KEYBOARD": "qwertz",
        "PATH": "/usr/bin:/bin",
    }
    assert secrets_of(harmless) == []
    line = json.dumps(harmless).encode() + b" user@example.org http://127.0.0.1:11434/a@b\n"
    assert Redactor(secrets_of(dict(os.environ) | harmless))(line) == line
