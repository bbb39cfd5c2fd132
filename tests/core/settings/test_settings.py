"""The two settings files, on a real disk: what is in force, what is reported, and that a write touches nothing else."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import platformdirs
import pytest

from core.errors import BadSetting, ConfigError
from core.logs.segments import Caps
from core.settings.edit import create_sidecar, write_settings, write_sidecar
from core.settings.paths import Paths
from core.settings.reader import FRESH_SECONDS, Settings, SettingsReader, SidecarSettings
from core.settings.schema import CanarySettings
from tests import tied
from tests.rig import DEADLINE

BOM = b"\xef\xbb\xbf"
ROUNDS = 50
LONG_AGO_NS = 1_600_000_000_000_000_000
GPU_KEYS = {
    "ollamaGpuEnabled": ("1", "true or false"),
    "ollamaNumGpu": ("-2", "a whole number from -1 to 10000"),
    "ollamaNumCtx": ("-1", "a whole number from 0 to 2147483647"),
    "ollamaGpuAutoDetect": ('"yes"', "true or false"),
}
OWN_KEYS = ("ollamaUrl", "ollamaModel", "ollamaExecutablePath")

posix_only = tied.posix("the file system there has no such thing")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths.find(tmp_path)
    found.data.mkdir()
    return found


def settled(path: Path) -> None:
    """Make a file old enough to be taken from the cache."""
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))


def problem_of(reader: SettingsReader) -> ConfigError:
    reader.read()
    assert reader.problem is not None
    return reader.problem


# --- Paths ----------------------------------------------------------------------------------------------------------


def test_paths_lie_below_aura_data(tmp_path: Path) -> None:
    paths = Paths.find(tmp_path)
    data = tmp_path / "AuraData"
    assert (paths.root, paths.data, paths.settings) == (tmp_path, data, data / "settings.json")
    assert (paths.sidecar, paths.logs, paths.run) == (
        data / "ollama-sidecar.json",
        data / "logs" / "ollama",
        data / "run",
    )
    assert not data.exists()


def test_root_is_override_then_environment_then_user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable counts as unset; a relative one means below the folder we were started in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AURA_DATA_PATH", "place")
    assert Paths.find(tmp_path / "other").root == tmp_path / "other"
    assert Paths.find(None).root == tmp_path / "place"
    monkeypatch.setenv("AURA_DATA_PATH", "")
    assert Paths.find(None).root == platformdirs.user_data_path("Aura", appauthor=False)


# --- Reading --------------------------------------------------------------------------------------------------------


def test_missing_files_mean_defaults(tmp_path: Path) -> None:
    """Not even the folder has to be there, and reading creates nothing."""
    reader = SettingsReader(Paths.find(tmp_path))
    settings = reader.read()
    assert settings == Settings()
    assert reader.problem is None
    assert settings.ollama_url == "http://127.0.0.1:11434"
    assert settings.ollama_model is None
    assert settings.ollama_executable_path is None
    assert list(tmp_path.iterdir()) == []


def test_defaults_of_the_sidecar_are_the_documented_ones() -> None:
    sidecar = SidecarSettings()
    assert (sidecar.port, sidecar.allowed_origins, sidecar.require_token, sidecar.env) == (5006, (), False, {})
    assert (sidecar.ready_timeout, sidecar.stop_timeout) == (10.0, 5.0)
    assert (sidecar.start_on_launch, sidecar.stop_on_quit, sidecar.stop_on_terminate) == (False, True, False)
    assert sidecar.restart_on_crash is False


def test_log_caps_are_those_of_the_log() -> None:
    """By the log's own names, and with the same defaults."""
    caps = Caps(**SidecarSettings().log_caps)
    assert all(getattr(caps, name) == getattr(Caps(), name) for name in Caps.__slots__)
    own = SidecarSettings(log_segment_bytes=1, log_segments_per_start=2, log_starts=3, log_total_bytes=4)
    assert own.log_caps == {"segment_bytes": 1, "segments_per_start": 2, "starts": 3, "total_bytes": 4}


@pytest.mark.parametrize("bom", [b"", BOM])
def test_values_are_read_and_unknown_keys_ignored(paths: Paths, bom: bytes) -> None:
    paths.settings.write_bytes(
        bom
        + b'{"openAiKey": {"deep": [1e5]}, "ollamaUrl": "http://h:1", "ollamaModel": "m", "ollamaExecutablePath": "/o"}'
    )
    paths.sidecar.write_bytes(
        bom + b'{"port": 0, "env": {"A": "b"}, "readyTimeout": 3, "allowedOrigins": ["null"], "later": 1}'
    )
    reader = SettingsReader(paths)
    sidecar = SidecarSettings(port=0, env={"A": "b"}, ready_timeout=3.0, allowed_origins=("null",))
    assert reader.read() == Settings("http://h:1", "m", "/o", sidecar)
    assert reader.problem is None


def test_null_and_blank_mean_default(paths: Paths) -> None:
    """Aura saves "" for what is not set."""
    paths.settings.write_text('{"ollamaUrl": null, "ollamaModel": " ", "ollamaExecutablePath": ""}')
    paths.sidecar.write_text('{"port": null, "env": null, "stopOnQuit": null}')
    reader = SettingsReader(paths)
    assert reader.read() == Settings()
    assert reader.problem is None


def test_last_of_equal_keys_counts(paths: Paths) -> None:
    """For the value, and for the line that is blamed."""
    paths.settings.write_text('{"ollamaModel": "first", "ollamaModel": "last"}')
    assert SettingsReader(paths).read().ollama_model == "last"
    paths.sidecar.write_text('{\n"port": 1,\n"port": 70000}')
    assert "line 3: `port` is 70000" in problem_of(SettingsReader(paths)).message


def test_every_change_is_seen_at_the_next_read(paths: Paths) -> None:
    """Also an in-place one of equal size within the grain of the file system's clock."""
    reader, now = SettingsReader(paths), time.time_ns()
    for number in range(10):
        paths.settings.write_text(f'{{"ollamaModel": "model-{number}"}}')
        os.utime(paths.settings, ns=(now, now))
        assert reader.read().ollama_model == f"model-{number}"


def test_settled_file_is_not_read_again(paths: Paths) -> None:
    """Equal time, size and inode mean an equal file, once that is older than any clock's grain."""
    paths.settings.write_text('{"ollamaModel": "one"}')
    settled(paths.settings)
    reader = SettingsReader(paths)
    assert reader.read().ollama_model == "one"
    paths.settings.write_text('{"ollamaModel": "two"}')
    settled(paths.settings)
    assert reader.read().ollama_model == "one"
    os.utime(paths.settings, ns=(LONG_AGO_NS, LONG_AGO_NS + 10**9))
    assert reader.read().ollama_model == "two"


def test_problem_of_a_settled_file_stays(paths: Paths) -> None:
    """It is not forgotten because the file need not be read again."""
    paths.sidecar.write_text("{")
    settled(paths.sidecar)
    reader = SettingsReader(paths)
    assert problem_of(reader).message == problem_of(reader).message
    paths.sidecar.unlink()
    reader.read()
    assert reader.problem is None


def test_damage_leaves_last_good_values_in_force(paths: Paths) -> None:
    """Of the damaged file only; the other one goes on being read, and nothing is repaired."""
    paths.settings.write_text('{"ollamaModel": "good"}')
    paths.sidecar.write_text('{"port": 1}')
    reader = SettingsReader(paths)
    reader.read()
    paths.settings.write_text('{"ollamaModel": "better"')
    paths.sidecar.write_text('{"port": 2}')
    settings = reader.read()
    assert (settings.ollama_model, settings.sidecar.port) == ("good", 2)
    assert reader.problem is not None
    assert paths.settings.read_text() == '{"ollamaModel": "better"'
    paths.settings.write_text('{"ollamaModel": "better"}')
    assert reader.read().ollama_model == "better"
    assert reader.problem is None


@pytest.mark.parametrize(
    ("content", "place", "reason"),
    [
        (b"", "line 1, column 1", "the file ends"),
        (BOM, "line 1, column 1", "the file ends"),
        (b" \r\n", "line 2, column 1", "the file ends"),
        (b"\0\0\0\0", "line 1, column 1", "Expecting an object"),
        (b"[]", "line 1, column 1", "Expecting an object"),
        (b'"port"', "line 1, column 1", "Expecting an object"),
        (b'{"port": 1,}', "line 1, column 12", "Expecting a name"),
        (b'{\n  "port" 1\n}', "line 2, column 10", "Expecting ':'"),
        (b'{\n  "port": 1\n  "env": {}\n}', "line 3, column 3", "Expecting ',' or '}'"),
        (b'{"port": 1} x', "line 1, column 13", "Nothing may follow"),
        (b'{"x":\nNaN}', "line 2, column 1", "NaN"),
        (b'{"x": 01}', "line 1, column 8", "Expecting ','"),
        (b"{// no\n}", "line 1, column 2", "Expecting a name"),
        (b'{"x":\n "\xff"}', "line 2", "not UTF-8"),
        ('{"port": 1}'.encode("utf-16"), "line 1", "not UTF-8"),
        (b'{"x":' + b"[" * 9_000, "cannot be read", "nested too deeply"),
        (b'{"x":"' + b"x" * (1 << 20) + b'"}', "cannot be read", "larger than 1 MiB"),
        (b'{"x":[' + b"0," * 10_000 + b"0]}", "cannot be read", "more than 10000 values"),
    ],
)
def test_syntax_error_names_file_line_and_column(paths: Paths, content: bytes, place: str, reason: str) -> None:
    """Both files alike; the way out names the file."""
    readers: list[tuple[Path, Callable[[Paths, dict[str, object]], None], dict[str, object]]] = [
        (paths.settings, write_settings, {"ollamaModel": "m"}),
        (paths.sidecar, write_sidecar, {"port": 1}),
    ]
    for path, write, changes in readers:
        path.write_bytes(content)
        problem = problem_of(SettingsReader(paths))
        assert problem.message.startswith(str(path))
        assert place in problem.message
        assert reason in problem.message
        assert problem.action
        with pytest.raises(ConfigError, match=reason):
            write(paths, changes)
        assert path.read_bytes() == content
        path.unlink()
    assert list(paths.data.iterdir()) == []


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("port", "65536", "65536"),
        ("port", "-1", "-1"),
        ("port", "true", "true"),
        ("port", '""', '""'),
        ("port", "1.5", "1.5"),
        ("port", "9" * 5000, "Infinity"),
        ("requireToken", "1", "1"),
        ("readyTimeout", "0", "0"),
        ("readyTimeout", "600.5", "600.5"),
        ("readyTimeout", "1e999", "Infinity"),
        ("stopTimeout", '"5"', '"5"'),
        ("env", "[]", "a list"),
        ("host", '"localhost"', '"localhost"'),
        ("host", "1", "1"),
        ("allowedOrigins", '"null"', '"null"'),
        ("allowedOrigins", "{}", "{}"),
        ("allowedRegistries", '"hf.co"', '"hf.co"'),
        ("allowInsecureRegistries", '"yes"', '"yes"'),
        ("owner", "7", "7"),
        ("owner", '""', '""'),
        ("owner", '"docker:ollama"', '"docker:ollama"'),
        ("owner", '"process:ollama"', '"process:ollama"'),
        ("owner", '"systemd:ollama"', '"systemd:ollama"'),
        ("owner", '"systemd:../x.service"', '"systemd:../x.service"'),
        ("owner", '"systemd-user:a b.service"', '"systemd-user:a b.service"'),
        ("owner", '"container:-v"', '"container:-v"'),
        ("owner", '"launchd:"', '"launchd:"'),
        ("owner", '"windows-service:a/b"', '"windows-service:a/b"'),
        ("logSegmentBytes", "65535", "65535"),
        ("logSegmentsPerStart", "0", "0"),
        ("logStarts", "0", "0"),
        ("logStarts", "1" + "0" * 30, "1" + "0" * 30),
        ("logTotalBytes", "1000000", "1000000"),
    ],
)
def test_value_error_names_file_line_field_value_and_way_out(paths: Paths, field: str, value: str, shown: str) -> None:
    """In words for a person, and the rest of the file is not in force either."""
    paths.sidecar.write_text(f'{{\n  "stopOnQuit": false,\n\n  "{field}": {value}\n}}')
    reader = SettingsReader(paths)
    problem = problem_of(reader)
    assert problem.message.startswith(f"{paths.sidecar}, line 4: `{field}` is {shown}, but ")
    assert problem.action
    assert f"`{field}`" in problem.action
    # Except that a file which cannot be used is taken to ask for the token.
    assert reader.read().sidecar == SidecarSettings(require_token=True)


@pytest.mark.parametrize("key", OWN_KEYS)
def test_wrong_type_in_aura_settings_is_an_error(paths: Paths, key: str) -> None:
    paths.settings.write_text(f'{{"{key}": 5}}')
    most = 2048 if key == "ollamaUrl" else 32_767
    expected = f"{paths.settings}, line 1: `{key}` is 5, but must be a text of at most {most} characters"
    assert problem_of(SettingsReader(paths)).message == expected


@pytest.mark.parametrize("key", GPU_KEYS)
def test_settings_about_the_graphics_processor_are_checked(paths: Paths, key: str) -> None:
    value, expected = GPU_KEYS[key]
    paths.settings.write_text(f'{{"{key}": {value}}}')
    assert problem_of(SettingsReader(paths)).message == (
        f"{paths.settings}, line 1: `{key}` is {value}, but must be {expected}"
    )
    paths.settings.write_text('{"ollamaGpuEnabled": false, "ollamaNumGpu": 3, "ollamaNumCtx": 8192}')
    settings = SettingsReader(paths).read()
    assert (settings.ollama_gpu_enabled, settings.ollama_num_gpu, settings.ollama_num_ctx) == (False, 3, 8192)


def test_half_characters_are_refused_in_our_keys_only(paths: Paths) -> None:
    """They would break the log, the response and the file system; in other keys they are Aura's business."""
    paths.settings.write_text('{"x": "\\ud800", "ollamaModel": "m"}')
    reader = SettingsReader(paths)
    assert reader.read().ollama_model == "m"
    assert reader.problem is None
    paths.settings.write_text('{"ollamaModel": "\\ud800"}')
    assert "half" in problem_of(reader).message
    assert problem_of(reader).message.encode("utf-8")


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ('"OLLAMA_HOST": "0.0.0.0"', "env.OLLAMA_HOST"),
        ('"Ollama_Host": "0.0.0.0"', "env.Ollama_Host"),
        ('"OLLAMA_DEBUG": 1', "env.OLLAMA_DEBUG"),
        ('"OLLAMA_DEBUG": null', "env.OLLAMA_DEBUG"),
        ('"A": "hunter2\\u0000"', "env.A"),
        ('"A": "hunter2\\ud800"', "env.A"),
        ('"A\\ud800": "hunter2"', 'name "A\\ud800"'),
        ('"": "x"', 'name ""'),
        ('"A=B": "x"', 'name "A=B"'),
        ('"A\\u0000": "x"', 'name "A\\u0000"'),
    ],
)
def test_environment_error_names_the_entry_and_its_line(paths: Paths, entry: str, field: str) -> None:
    paths.sidecar.write_text(f'{{\n  "port": 1,\n  "env": {{\n    "FINE": "1",\n    {entry}\n  }}\n}}')
    problem = problem_of(SettingsReader(paths))
    assert problem.message.startswith(f"{paths.sidecar}, line 5: ")
    assert field in problem.message
    assert "hunter2" not in problem.message
    assert problem.message.encode("utf-8")


@pytest.mark.parametrize(
    ("env", "message", "way_out"),
    [
        ({"A": "x" * 32_766}, "`env.A` takes 32768 bytes with its name, but 32767 at most", "`env.A`"),
        ({"A": "ü" * 16_383}, "`env.A` takes 32768 bytes with its name, but 32767 at most", "`env.A`"),
        ({"N" * 40_000: "x"}, f"`env.{'N' * 80}…` takes 40002 bytes", "Shorten or remove"),
        (
            {f"A{number:02}": "x" * 32_763 for number in range(17)},
            "`env` takes 557039 bytes, but 524288 at most",
            "its largest entry is `env.A00`",
        ),
    ],
    ids=["an entry", "an entry of two-byte letters", "a name", "all together"],
)
def test_an_environment_that_no_program_takes_is_refused_with_its_size(
    paths: Paths, env: dict[str, str], message: str, way_out: str
) -> None:
    paths.sidecar.write_text(json.dumps({"env": env}, ensure_ascii=False), encoding="utf-8")
    problem = problem_of(SettingsReader(paths))
    assert message in problem.message
    assert way_out in str(problem.action)
    assert len(problem.message) < 1000
    with pytest.raises(ConfigError, match="takes"):
        write_sidecar(Paths(paths.root / "other"), {"env": env})


@pytest.mark.parametrize("key", OWN_KEYS)
def test_a_text_without_bounds_is_refused_and_takes_no_time(paths: Paths, key: str) -> None:
    """As a URL this one took minutes to be shown without its credentials, on the loop."""
    paths.settings.write_text(json.dumps({key: "://" * 300_000}))
    problem = problem_of(SettingsReader(paths))
    assert f"`{key}` is " in problem.message
    assert "but must be a text of at most" in problem.message
    assert len(problem.message) < 1000


def test_ollama_host_in_the_environment_points_to_ollama_url(paths: Paths) -> None:
    paths.sidecar.write_text('{"env": {"OLLAMA_HOST": "0.0.0.0"}}')
    problem = problem_of(SettingsReader(paths))
    assert problem.action is not None
    assert "set ollamaUrl instead" in problem.action
    assert '"0.0.0.0"' in problem.message


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "file://",
        "http://localhost:5173",
        "https://a.example",
        "http://[::1]:80",
        "chrome-extension://abc",
        "app://x",
    ],
)
def test_exact_origins_are_allowed(paths: Paths, origin: str) -> None:
    write_sidecar(paths, {"allowedOrigins": [origin]})
    assert SettingsReader(paths).read().sidecar.allowed_origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "",
        "http://*",
        "http://*.example",
        "http://a.example/",
        "http://a.example/x",
        "http://A.example",
        "http://u@a.example",
        "http://a.example:",
        "http://a.example:70000",
        "a.example",
        "file:///",
        "Null",
        "http://",
        "http://a\n",
        " null",
        5,
        None,
    ],
)
def test_inexact_origins_are_refused(paths: Paths, origin: object) -> None:
    """A browser sends exactly `scheme://host[:port]`, so nothing else can ever match, or it would match too much."""
    paths.sidecar.write_text(json.dumps({"allowedOrigins": ["null", origin]}))
    problem = problem_of(SettingsReader(paths))
    assert f"`allowedOrigins[1]` is {json.dumps(origin)}, but must be one exact origin" in problem.message


@pytest.mark.parametrize("registry", ["localhost:5000", "Registry.Example", "_r-1.example:65535", "h" * 350])
def test_registries_are_hosts_with_or_without_a_port(paths: Paths, registry: str) -> None:
    write_sidecar(paths, {"allowedRegistries": [registry], "allowInsecureRegistries": True})
    sidecar = SettingsReader(paths).read().sidecar
    assert (sidecar.allowed_registries, sidecar.allow_insecure_registries) == ((registry,), True)


@pytest.mark.parametrize(
    "registry",
    [
        "",
        "*",
        "http://a.example",
        "a.example/",
        "a.example/x",
        "a:b",
        "a:0",
        "a:65536",
        "[::1]:5000",
        " a",
        "-a",
        "a\n",
        "h" * 351,
        5,
        None,
    ],
)
def test_what_is_no_registry_is_refused(paths: Paths, registry: object) -> None:
    """It could never be the host of a model's name, or not the one that was meant."""
    paths.sidecar.write_text(json.dumps({"allowedRegistries": ["a.example", registry]}))
    message = problem_of(SettingsReader(paths)).message
    assert "`allowedRegistries[1]` is " in message
    assert "but must be a host or host:port" in message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b'{"requireTok',
        b'{"requireToken": true',
        b'{"requireToken": false, "port": "x"}',
        b'{"port": }',
        b"[]",
        b"null",
        b"\xff\xfe\0",
        b"\0" * 64,
    ],
)
def test_a_file_that_was_never_usable_asks_for_the_token(paths: Paths, content: bytes) -> None:
    """What is there may be the rest of one that asked for it, torn by a crash or a disk."""
    paths.sidecar.write_bytes(content)
    reader = SettingsReader(paths)
    assert reader.read().sidecar.require_token is True
    assert reader.problem is not None
    paths.sidecar.write_text('{"requireToken": false}')
    assert reader.read().sidecar.require_token is False
    paths.sidecar.write_bytes(content)
    assert reader.read().sidecar.require_token is False, "the last good value is known"


def test_without_a_file_the_token_is_not_required_and_one_that_comes_torn_changes_nothing(paths: Paths) -> None:
    reader = SettingsReader(paths)
    assert reader.read().sidecar.require_token is False
    paths.sidecar.write_bytes(b"")
    assert reader.read().sidecar.require_token is False
    assert reader.problem is not None


_MIB = 1 << 20
LARGEST = {
    "members": "{" + ",".join(f'"{number}":{number}' for number in range(9_999)) + "}",
    "a member of many": json.dumps({"x": {str(number): number for number in range(9_990)}}),
    "many objects": '{"x":[' + "{}," * 4_990 + "{}]}",
    "a long text": '{"x":"' + "y" * (_MIB - 100) + '"}',
    "a text of escapes": '{"x":"' + "\\n" * (_MIB // 2 - 100) + '"}',
    "a long number": '{"x":' + "9" * (_MIB - 100) + "}",
    "empty lines": '{"x":\n' + "\n" * (_MIB - 100) + "0",
    "a bad last value": "{" + "".join(f'"{number}":{number},\n' for number in range(9_990)) + '"ollamaUrl": 3}',
    "a long address": '{"ollamaUrl":"http://' + "@" * (_MIB - 100) + '"}',
    "a long path": '{"ollamaExecutablePath":"/' + "a/" * (_MIB // 2 - 100) + '"}',
    "too many values": '{"x":[' + "0," * (_MIB // 2 - 100) + "0]}",
    "larger still": json.dumps({"x": {str(number): number for number in range(220_000)}}),
}


@pytest.mark.parametrize("text", LARGEST.values(), ids=LARGEST)
def test_no_file_takes_long_to_be_read(paths: Paths, text: str) -> None:
    """Less than 50 ms of processor time, as nothing else runs meanwhile. The best of five leaves a busy machine out."""

    def cost() -> float:
        reader = SettingsReader(paths)
        before = time.thread_time()
        reader.read()
        return time.thread_time() - before

    paths.settings.write_text(text)
    assert min(cost() for _ in range(5)) < tied.seconds(0.05)


@posix_only
@pytest.mark.parametrize("how", ["a pipe", "a folder", "too large", "not ours to read", "UTF-16"])
def test_a_file_that_was_never_readable_asks_for_the_token(paths: Paths, how: str) -> None:
    """It may hold `requireToken`: whoever asked for it must not lose it because a disk fails."""
    if how == "a pipe" and sys.platform != "win32":
        os.mkfifo(paths.sidecar)
    elif how == "a folder":
        paths.sidecar.mkdir()
    elif how == "too large":
        paths.sidecar.write_text(" " * (1 << 20) + '{"requireToken": true}')
    elif how == "UTF-16":
        paths.sidecar.write_text('{"requireToken": true}', encoding="utf-16")
    else:
        paths.sidecar.write_text('{"requireToken": true}')
        paths.sidecar.chmod(0o666)
    reader = SettingsReader(paths)
    assert reader.read().sidecar.require_token is True
    assert reader.problem is not None


@posix_only
@pytest.mark.parametrize("link", ["the file", "the data folder"])
def test_a_link_that_leads_nowhere_is_no_missing_file(tmp_path: Path, link: str) -> None:
    """What it leads to may be on a disk that is not there at present: the last good values stay, nothing is written."""
    paths = Paths(tmp_path / "root")
    paths.root.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "settings.json").write_text('{"ollamaExecutablePath": "/mine/ollama"}')
    if link == "the file":
        paths.data.mkdir()
        paths.settings.symlink_to(elsewhere / "settings.json")
    else:
        paths.data.symlink_to(elsewhere)
    place = paths.settings if link == "the file" else paths.data
    reader = SettingsReader(paths)
    assert reader.read().ollama_executable_path == "/mine/ollama"
    elsewhere.rename(tmp_path / "away")
    assert reader.read().ollama_executable_path == "/mine/ollama"
    assert f"{place} is a link to {place.readlink()}, which does not exist" in problem_of(reader).message
    with pytest.raises(ConfigError, match="which does not exist"):
        write_settings(paths, {"ollamaModel": "m"})
    assert not elsewhere.exists()
    (tmp_path / "away").rename(elsewhere)
    assert reader.read().ollama_executable_path == "/mine/ollama"
    assert reader.problem is None


def test_a_data_folder_that_is_gone_leaves_the_last_good_values(paths: Paths) -> None:
    """A file that is removed means the defaults; one that goes with its folder was on a disk that was taken away."""
    paths.settings.write_text('{"ollamaModel": "m"}')
    reader = SettingsReader(paths)
    assert reader.read().ollama_model == "m"
    paths.data.rename(paths.root / "away")
    assert reader.read().ollama_model == "m"
    assert "is gone" in problem_of(reader).message
    (paths.root / "away").rename(paths.data)
    assert reader.read().ollama_model == "m"
    assert reader.problem is None
    paths.settings.unlink()
    assert reader.read().ollama_model is None
    assert reader.problem is None


@posix_only
def test_what_is_no_file_is_reported_without_being_opened(paths: Paths) -> None:
    """Opening a pipe would block."""
    if sys.platform != "win32":
        os.mkfifo(paths.settings)
    paths.sidecar.mkdir()
    reader = SettingsReader(paths)
    assert problem_of(reader).message == f"{paths.settings} cannot be read: it is not a file"
    paths.settings.unlink()
    assert problem_of(reader).message == f"{paths.sidecar} cannot be read: it is not a file"


def test_torn_file_is_an_error_or_the_whole_value(paths: Paths) -> None:
    """At every byte: never a part of it, and never the defaults in place of what was in force."""
    old, new = (
        '{"ollamaModel": "old", "ollamaUrl": "http://old:1"}',
        (
            '{\r\n  "é": [1.10, {"ollamaModel": "no"}],\r\n  "ollamaModel": "new",\r\n  "ollamaUrl": "http://new:2"\r\n}\r\n'
        ),
    )
    whole, outcomes = BOM + new.encode(), []
    reader = SettingsReader(paths)
    for length in range(len(whole) + 1):
        paths.settings.write_text(old)
        assert reader.read().ollama_model == "old"
        paths.settings.write_bytes(whole[:length])
        settings = reader.read()
        outcomes.append(reader.problem is None)
        expected = ("new", "http://new:2") if reader.problem is None else ("old", "http://old:1")
        assert (settings.ollama_model, settings.ollama_url) == expected
    # Only the closing line break may be missing.
    assert outcomes == [False] * (len(whole) - 2) + [True] * 3


# --- Fingerprint ----------------------------------------------------------------------------------------------------


def test_fingerprint_is_equal_for_equal_values_only(paths: Paths) -> None:
    """Whatever they are written like, and in whichever order."""
    write_sidecar(paths, {"env": {"A": "1", "B": "2"}, "port": 5006, "readyTimeout": 10})
    first = SettingsReader(paths).read()
    paths.sidecar.write_text(' {"x": 1, "readyTimeout": 1e1, "env": {"B": "2", "\\u0041": "1"}}')
    second = SettingsReader(paths).read()
    assert first.fingerprint == second.fingerprint
    assert hash(first.fingerprint) == hash(second.fingerprint)
    others = [
        Settings(),
        Settings(ollama_url="http://h"),
        Settings(ollama_model="m"),
        Settings(ollama_executable_path="m"),
        Settings(sidecar=SidecarSettings(env={"A": "2", "B": "1"})),
        Settings(sidecar=SidecarSettings(port=1)),
        Settings(sidecar=SidecarSettings(log_starts=1)),
        Settings(sidecar=SidecarSettings(stop_on_quit=False)),
    ]
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 1 + len(others)


def test_fingerprint_tells_no_value() -> None:
    settings = Settings(sidecar=SidecarSettings(env={"API_KEY": "hunter2"}))
    assert "hunter2" not in settings.fingerprint
    assert "API_KEY" not in settings.fingerprint


# --- Writing --------------------------------------------------------------------------------------------------------


def test_a_new_file_is_made_where_there_is_none(tmp_path: Path) -> None:
    paths = Paths.find(tmp_path / "a" / "b")
    paths.data.mkdir(parents=True)
    write_settings(paths, {"ollamaModel": "mü", "ollamaUrl": "http://h:1"})
    assert paths.settings.read_bytes().decode() == '{\n  "ollamaModel": "mü",\n  "ollamaUrl": "http://h:1"\n}'
    assert SettingsReader(paths).read() == Settings("http://h:1", "mü")
    assert list(paths.data.iterdir()) == [paths.settings]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{}", '{\n  "ollamaModel": "m"\n}'),
        ("{\r\n}\r\n", '{\r\n  "ollamaModel": "m"\r\n}\r\n'),
        ('{"a":1.10}', '{"a":1.10,"ollamaModel":"m"}'),
        ('{ "a" : 1e5 }\n', '{ "a" : 1e5, "ollamaModel" : "m" }\n'),
        ('{\n\t"a": {\n\t\t"b": -0\n\t}\n}', '{\n\t"a": {\n\t\t"b": -0\n\t},\n\t"ollamaModel": "m"\n}'),
        ('{\r\n    "a": 1,\r\n    "b": 2\r\n}', '{\r\n    "a": 1,\r\n    "b": 2,\r\n    "ollamaModel": "m"\r\n}'),
        (
            '{"x":{"ollamaModel":"in"},"ollamaModel" :\tnull , "z":0}',
            '{"x":{"ollamaModel":"in"},"ollamaModel" :\t"m" , "z":0}',
        ),
        ('{"a":1,\n "b" : 2}', '{"a":1,\n "b" : 2,\n "ollamaModel" : "m"}'),
        ('{"ollama\\u004dodel":"old"}', '{"ollama\\u004dodel":"m"}'),
        ('{"ollamaModel":1,"ollamaModel":"m"}', '{"ollamaModel":"m","ollamaModel":"m"}'),
        ('{"ollamaModel": "\\u006d"}', '{"ollamaModel": "\\u006d"}'),
    ],
)
@pytest.mark.parametrize("bom", [b"", BOM])
def test_write_keeps_the_file_in_its_own_style(paths: Paths, bom: bytes, before: str, after: str) -> None:
    """Key order, number texts, indentation, line ends and BOM stay; a key that stands twice is changed twice."""
    paths.settings.write_bytes(bom + before.encode())
    write_settings(paths, {"ollamaModel": "m"})
    assert paths.settings.read_bytes() == bom + after.encode()


def test_equal_values_are_not_written(paths: Paths) -> None:
    """The file stays the same file, so nobody else sees a change."""
    paths.settings.write_text('{"ollamaModel": "m"}')
    settled(paths.settings)
    before = paths.settings.stat()
    write_settings(paths, {"ollamaModel": "m"})
    after = paths.settings.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_null_is_written_as_null_and_means_the_default(paths: Paths) -> None:
    paths.settings.write_text('{"ollamaModel": "m", "a": 1}')
    write_settings(paths, {"ollamaModel": None})
    assert paths.settings.read_text() == '{"ollamaModel": null, "a": 1}'
    assert SettingsReader(paths).read().ollama_model is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"port": 70000}, "`port` is 70000, but must be a whole number from 0 to 65535"),
        ({"port": True}, "`port` is true, but must be a whole number from 0 to 65535"),
        ({"env": {"OLLAMA_HOST": "x"}}, '`env.OLLAMA_HOST` is "x", but the address comes from `ollamaUrl`'),
        ({"readyTimeout": float("nan")}, "a value cannot be written as JSON: "),
        ({"env": {"A": "\ud800"}}, "`env.A` holds a NUL or a half character"),
        ({"allowedOrigins": ["*"]}, '`allowedOrigins[0]` is "*", but must be one exact origin'),
        ({"logTotalBytes": 1 << 16}, "`logTotalBytes` is 65536, but one segment"),
        ({"host": "0.0.0.0"}, '`host` is "0.0.0.0", where other machines can reach the sidecar, but `requireToken` is'),
        ({"host": "::"}, '`host` is "::", where other machines'),
        ({"host": "192.0.2.1", "requireToken": False}, '`host` is "192.0.2.1", where'),
        ({"prot": 1}, "`prot` is no setting for ollama-sidecar.json"),
    ],
)
def test_invalid_change_is_refused(paths: Paths, changes: dict[str, object], message: str) -> None:
    """It is not the file's fault, so neither file nor line is named, and nothing changes."""
    paths.sidecar.write_text('{"port": 1}')
    with pytest.raises(ConfigError) as caught:
        write_sidecar(paths, changes)
    assert caught.value.message.startswith(message)
    assert caught.value.action or "JSON" in message
    assert paths.sidecar.read_text() == '{"port": 1}'
    assert list(paths.data.iterdir()) == [paths.sidecar]


def test_url_without_sense_is_never_written(paths: Paths) -> None:
    with pytest.raises(ConfigError, match="only http"):
        write_settings(paths, {"ollamaUrl": "ftp://h"})
    assert not paths.settings.exists()


def test_the_sidecar_is_never_opened_to_other_machines_without_the_token(paths: Paths) -> None:
    """Neither by `host` nor by `requireToken`; both may be changed at once, and nothing else is held up."""
    write_sidecar(paths, {"host": "127.0.0.2", "requireToken": False})
    write_sidecar(paths, {"host": "0.0.0.0", "requireToken": True})
    before = paths.sidecar.read_text()
    for changes in ({"requireToken": False}, {"requireToken": None}):
        with pytest.raises(BadSetting, match=r"`requireToken` is false") as caught:
            write_sidecar(paths, changes)
        assert "127.0.0.1" in str(caught.value.action)
    assert paths.sidecar.read_text() == before
    write_sidecar(paths, {"requireToken": False, "host": None})
    paths.sidecar.write_text('{"host": "0.0.0.0"}')
    write_sidecar(paths, {"readyTimeout": 5})
    write_sidecar(paths, {"host": "::1"})


def test_change_that_heals_a_value_is_taken_and_another_is_not(paths: Paths) -> None:
    """An invalid value in the file is reported with its place, until it is the one that is changed."""
    paths.sidecar.write_text('{\n  "port": 70000\n}')
    with pytest.raises(ConfigError, match="line 2: `port` is 70000"):
        write_sidecar(paths, {"stopOnQuit": False})
    write_sidecar(paths, {"port": 7})
    assert SettingsReader(paths).read().sidecar.port == 7


@posix_only
def test_rights_and_links_stay(paths: Paths, tmp_path: Path) -> None:
    """A linked settings file is changed where it lies; a new one is private."""
    real = tmp_path / "dotfiles.json"
    real.write_text("{}")
    real.chmod(0o640)
    paths.settings.symlink_to(real)
    write_settings(paths, {"ollamaModel": "m"})
    assert paths.settings.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert json.loads(real.read_text()) == {"ollamaModel": "m"}
    write_sidecar(paths, {"port": 1})
    assert stat.S_IMODE(paths.sidecar.stat().st_mode) == 0o600


def test_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("")
    # Windows does not tell a file in a folder's place from nothing at all.
    with pytest.raises(ConfigError, match=r"cannot be (read|written)|is gone"):
        write_settings(Paths.find(tmp_path / "root"), {"ollamaModel": "m"})


def test_file_may_not_grow_too_large(paths: Paths) -> None:
    content = json.dumps({"x": "x" * ((1 << 20) - 100)})
    paths.settings.write_text(content)
    with pytest.raises(ConfigError, match="1 MiB"):
        write_settings(paths, {"ollamaModel": "m" * 200})
    assert paths.settings.read_text() == content


# --- At the same time -----------------------------------------------------------------------------------------------


Background = Callable[[Callable[[int], None]], threading.Event]


@pytest.fixture
def background() -> Iterator[Background]:
    """Do something `ROUNDS` times in a thread, with the numbers from 1 on; the returned event says that it is done."""
    threads: list[threading.Thread] = []
    errors: list[BaseException] = []

    def repeat(work: Callable[[int], None], done: threading.Event) -> None:
        try:
            for number in range(1, ROUNDS + 1):
                work(number)
        except BaseException as error:
            errors.append(error)
            raise
        finally:
            done.set()

    def start(work: Callable[[int], None]) -> threading.Event:
        done = threading.Event()
        threads.append(threading.Thread(target=repeat, args=(work, done)))
        threads[-1].start()
        return done

    yield start
    for thread in threads:
        thread.join()
    assert not errors


def test_reader_beside_a_writer_sees_whole_settings_only(paths: Paths, background: Background) -> None:
    """Our writer replaces at once: no reader ever meets a problem, a missing file or a mixture."""
    write_settings(paths, {"ollamaModel": "0", "ollamaExecutablePath": "/0"})

    def write(number: int) -> None:
        write_settings(paths, {"ollamaModel": str(number), "ollamaExecutablePath": f"/{number}"})

    done = background(write)
    reader = SettingsReader(paths)
    while True:
        is_last = done.is_set()
        settings = reader.read()
        assert reader.problem is None
        assert settings.ollama_executable_path == f"/{settings.ollama_model}"
        if is_last:
            break
    assert settings.ollama_model == str(ROUNDS)


def in_place(number: int) -> list[str]:
    """What Aura writes into the file it has truncated, part by part."""
    digit = str(number % 10)
    content = f'{{"ollamaModel": "{digit * 3000}", "ollamaExecutablePath": "/{digit}"}}'
    return [content[start : start + 500] for start in range(0, len(content), 500)]


def assert_whole(settings: Settings) -> str:
    """The digit of which all is made."""
    assert settings.ollama_model is not None
    digit = settings.ollama_model[0]
    assert (settings.ollama_model, settings.ollama_executable_path) == (digit * 3000, f"/{digit}")
    return digit


def test_each_moment_of_a_write_in_place_gives_the_old_value_or_the_new(paths: Paths) -> None:
    """What it is caught at is a problem until the file is whole again, and nothing more."""
    paths.settings.write_text("".join(in_place(1)))
    reader = SettingsReader(paths)
    assert assert_whole(reader.read()) == "1"
    with paths.settings.open("w") as file:
        for part in in_place(2):
            assert assert_whole(reader.read()) == "1"
            assert reader.problem is not None
            file.write(part)
            file.flush()
    assert assert_whole(reader.read()) == "2"
    assert reader.problem is None


def test_reader_beside_an_in_place_writer_never_takes_a_torn_value(paths: Paths, background: Background) -> None:
    """Whatever moments it meets, and though it may begin in one and end in another."""

    def write_in_place(number: int) -> None:
        with paths.settings.open("w") as file:
            for part in in_place(number):
                file.write(part)
                file.flush()

    write_in_place(0)
    reader = SettingsReader(paths)
    assert_whole(reader.read())
    done = background(write_in_place)
    while not done.is_set():
        assert_whole(reader.read())
    assert assert_whole(reader.read()) == str(ROUNDS % 10)
    assert reader.problem is None


class Interrupted(dict[str, object]):
    """Changes during whose use somebody else gets to work, `times` times."""

    def __init__(self, changes: dict[str, object], other: Callable[[int], None], times: int) -> None:
        super().__init__(changes)
        self._other = other
        self._turns = iter(range(times))

    def items(self) -> Any:
        for turn in itertools.islice(self._turns, 1):
            self._other(turn)
        return super().items()


@pytest.mark.parametrize("begin", [None, '{"x": "before"}'])
def test_change_by_somebody_else_meanwhile_is_kept(paths: Paths, begin: str | None) -> None:
    """The file that is replaced is the file that was read, or it is read again."""
    if begin is not None:
        paths.settings.write_text(begin)
    changes = Interrupted({"ollamaModel": "m"}, lambda turn: _save(paths, f"turn {turn}"), 2)
    write_settings(paths, changes)
    assert json.loads(paths.settings.read_text()) == {"x": "turn 1", "ollamaModel": "m"}


def test_file_that_never_rests_is_an_error(paths: Paths) -> None:
    changes = Interrupted({"ollamaModel": "m"}, lambda turn: _save(paths, "x" * turn), 100)
    with pytest.raises(ConfigError, match="keeps being changed"):
        write_settings(paths, changes)
    assert list(json.loads(paths.settings.read_text())) == ["x"]
    assert list(paths.data.iterdir()) == [paths.settings]


def _save(paths: Paths, text: str) -> None:
    paths.settings.write_text(json.dumps({"x": text}))


def test_an_empty_sidecar_file_is_made_once_and_never_in_the_place_of_another(paths: Paths) -> None:
    create_sidecar(paths)
    assert json.loads(paths.sidecar.read_text()) == {}
    write_sidecar(paths, {"port": 5007})
    create_sidecar(paths)
    assert json.loads(paths.sidecar.read_text()) == {"port": 5007}


def test_writers_at_the_same_time_lose_nothing(paths: Paths) -> None:
    """Each of many changes is in the file at the end, and no temporary file is left."""
    paths.sidecar.write_text('{"other": 1.10}')
    wanted = SidecarSettings(
        port=1,
        allowed_origins=("null",),
        require_token=True,
        env={"A": "b"},
        ready_timeout=1.0,
        stop_timeout=2.0,
        start_on_launch=True,
        stop_on_quit=False,
        stop_on_terminate=True,
        restart_on_crash=True,
        log_segment_bytes=1 << 17,
        log_segments_per_start=2,
        log_starts=3,
        log_total_bytes=1 << 29,
    )
    begin = threading.Barrier(len(wanted.__struct_fields__))

    def write(name: str, value: object) -> None:
        begin.wait(5)
        write_sidecar(paths, {name: value})

    changes = msgspec.to_builtins(wanted)
    threads = [threading.Thread(target=write, args=change) for change in changes.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert SettingsReader(paths).read().sidecar == wanted
    assert paths.sidecar.read_text().startswith('{"other": 1.10,')
    assert list(paths.data.iterdir()) == [paths.sidecar]


def test_the_canary_is_read_with_its_defaults(paths: Paths) -> None:
    """Names without a meaning are passed over there too; without one there is none."""
    reader = SettingsReader(paths)
    assert reader.read().sidecar.canary is None
    write_sidecar(paths, {"canary": {"model": "llama3.2:3b", "later": 1}})
    assert reader.read().sidecar.canary == CanarySettings(model="llama3.2:3b")
    assert reader.problem is None
    assert CanarySettings(model="x").every_seconds == 60
    assert CanarySettings(model="x").timeout_seconds == 30
    assert CanarySettings(model="x").restart_on_stuck is False


@pytest.mark.parametrize(
    ("canary", "said"),
    [
        ("tiny", "`canary` is "),
        ({}, "`canary` has no `model`"),
        ({"model": ""}, "`canary.model` is "),
        ({"model": "x", "everySeconds": 0.5}, "`canary.everySeconds` is 0.5, but must be a number of seconds"),
        ({"model": "x", "timeoutSeconds": "30"}, "`canary.timeoutSeconds` is "),
        ({"model": "x", "restartOnStuck": 1}, "`canary.restartOnStuck` is 1, but must be true or false"),
    ],
)
def test_a_canary_that_will_not_do_names_what_is_wrong(paths: Paths, canary: object, said: str) -> None:
    """By its place and its value, with the way out; the last good values stay."""
    write_sidecar(paths, {"canary": {"model": "good"}})
    reader = SettingsReader(paths)
    assert reader.read().sidecar.canary == CanarySettings(model="good")
    paths.sidecar.write_text(json.dumps({"canary": canary}))
    assert reader.read().sidecar.canary == CanarySettings(model="good")
    assert said in str(reader.problem)


async def test_the_first_reading_is_waited_for_longer_than_others_since_none_stands_in_for_it(paths: Paths) -> None:
    """Longer than 0.25 s, and by whoever asks first: a start must not fail because the disk was busy."""
    slow = threading.Event()
    paths.sidecar.write_text('{"env":{"A":"b"}}')
    reader = SettingsReader(paths, conceal=lambda env: assert_waits(slow))
    asking = asyncio.create_task(reader.fresh())
    await asyncio.wait([asking], timeout=2 * FRESH_SECONDS)
    assert not asking.done()
    slow.set()
    reading = await asking
    assert (reading.problem, reading.settings.sidecar.env) == (None, {"A": "b"})


def assert_waits(slow: threading.Event) -> None:
    """Hold the reading thread until then."""
    assert slow.wait(DEADLINE)
