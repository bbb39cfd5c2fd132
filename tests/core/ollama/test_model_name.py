"""Names of models: the grammar, against the real Ollama's own judgement, and what each bad one is told."""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadModelName, RegistryNotAllowed
from core.ollama.model_name import PATTERN, ModelName, check_registry
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import OllamaServer
from tests.beds.wire import call

GOOD = {
    "m": "m:latest",
    "llama3.2:3b": "llama3.2:3b",
    "library/llama3.2": "llama3.2:latest",
    "user/model:q4_K_M": "user/model:q4_K_M",
    "hf.co/user/model:q4": "hf.co/user/model:q4",
    "registry.ollama.ai/library/x:y": "x:y",
    "Registry.Ollama.AI/Library/X": "X:latest",
    "registry.ollama.ai/user/x": "user/x:latest",
    "localhost:5000/library/x": "localhost:5000/library/x:latest",
    "host:https/ns/m:t": "host:https/ns/m:t",
    "https://host/ns/m": "host/ns/m:latest",
    "HTTP://127.0.0.1:5000/library/tiny": "127.0.0.1:5000/library/tiny:latest",
    "_h/_n/_m:_t": "_h/_n/_m:_t",
    "a..b:c..d": "a..b:c..d",
    f"{'h' * 350}/{'n' * 80}/{'m' * 80}:{'t' * 80}": f"{'h' * 350}/{'n' * 80}/{'m' * 80}:{'t' * 80}",
}
BAD = {
    "": "empty model",
    ":": "empty model",
    "m:": "empty tag",
    ":t": "empty model",
    "/m": "empty namespace",
    "n/": "empty model",
    "//m": "empty host",
    "h//m": "empty namespace",
    "a/b/c/d": "4 parts",
    "../../x": "begins with '.'",
    "..": "begins with '.'",
    "-m": "begins with '-'",
    "m:-t": "begins with '-'",
    "-h/n/m": "begins with '-'",
    "m m": "' ' in its model",
    "m:t t": "' ' in its tag",
    "n:s/m": "':' in its namespace",
    "hf.co/m": "'.' in its namespace, which may not hold that; if it is a host, a namespace has to follow it",
    "a:b:c": "':' in its model",
    "m@sha256-00": "'@' in its model",
    "m\0": r"'\x00' in its model",
    "m\n": r"'\n' in its model",
    "m\u00e9": r"'\xe9' in its model",
    "m\uff11": r"'\uff11' in its model",
    "m:t\u202e": r"'\u202e' in its tag",
    "\ud800": r"begins with '\ud800'",
    "h h/n/m": "' ' in its host",
    "[::1]:5000/n/m": "begins with '['",
    "user@host/n/m": "'@' in its host",
    "ftp://h/n/m": "begins with ftp://",
    "http://h/m": "not the three parts",
    "https://m": "not the three parts",
    "http://a/b/c/d": "4 parts",
    "m" * 81: "a model of 81 characters; 80 are the most",
    f"m:{'t' * 81}": "a tag of 81 characters",
    f"{'n' * 81}/m": "a namespace of 81 characters",
    f"{'h' * 351}/n/m": "a host of 351 characters",
}
# We refuse them, and Ollama takes any scheme.
STRICTER = {"ftp://h/n/m"}


@pytest.mark.parametrize(("text", "canonical"), GOOD.items())
def test_a_name_has_one_canonical_form(text: str, canonical: str) -> None:
    name = ModelName.parse(text)
    assert str(name) == canonical
    again = ModelName.parse(str(name))
    assert (str(again), again.key) == (canonical, name.key)


@pytest.mark.parametrize(("text", "why"), BAD.items())
def test_a_bad_name_is_told_which_part_of_it_will_not_do_and_why(text: str, why: str) -> None:
    with pytest.raises(BadModelName) as caught:
        ModelName.parse(text)
    assert why in caught.value.message
    assert caught.value.message.isascii() or "…" in caught.value.message
    assert len(caught.value.message) < 700
    assert caught.value.action


def test_the_case_of_letters_makes_no_other_model() -> None:
    assert ModelName.parse("Llama3.2").key == ModelName.parse("registry.ollama.ai/library/llama3.2:LATEST").key
    assert ModelName.parse("llama3.2").key != ModelName.parse("llama3.2:1b").key


def test_a_name_without_a_tag_covers_every_tag_of_its_model() -> None:
    name = ModelName.parse("tiny")
    assert [name.covers(each) for each in ("tiny:latest", "TINY:q4", "tiny2:q4", "user/tiny:q4", "?")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert (name.is_same("Tiny:latest"), name.is_same("tiny:q4")) == (True, False)
    assert not ModelName.parse("tiny:latest").covers("tiny:q4")


def test_plain_http_is_kept_for_the_pull_alone() -> None:
    name = ModelName.parse("http://127.0.0.1:5000/library/tiny")
    assert (name.for_pull, str(name)) == (
        "http://127.0.0.1:5000/library/tiny:latest",
        "127.0.0.1:5000/library/tiny:latest",
    )
    assert name.key == ModelName.parse("127.0.0.1:5000/library/tiny").key
    assert ModelName.parse("https://hf.co/a/b").for_pull == "hf.co/a/b:latest"


@given(st.sampled_from([*GOOD, *BAD]) | st.text("abZ09_-.:/@+ ", max_size=20))
def test_the_pattern_says_the_same(text: str) -> None:
    """In Python `$` matches before a newline too, in JSON Schema only at the end."""
    if text not in {"HTTP://127.0.0.1:5000/library/tiny"} and "\n" not in text:
        assert (re.match(PATTERN, text) is not None) == _is_name(text)


@given(st.text(max_size=400) | st.text("abZ09_-.:/@+ ", max_size=40))
def test_a_text_is_a_name_or_is_refused_in_words_and_never_anything_else(text: str) -> None:
    try:
        name = ModelName.parse(text)
    except BadModelName:
        return
    assert ModelName.parse(str(name)).key == name.key
    assert ".." not in {name.host, name.namespace, name.model, name.tag}


@pytest.mark.parametrize(
    "text", ["m", "user/m", "hf.co/u/m", "HF.CO/u/m", "Reg.example:5000/u/m", "https://b.example/u/m"]
)
def test_registries_that_are_always_allowed_or_named_in_the_settings_may_be_asked(text: str) -> None:
    check_registry(ModelName.parse(text), ["reg.example:5000", "B.Example"], allow_insecure=False)


@pytest.mark.parametrize(
    "text", ["evil.example/u/m", "reg.example/u/m", "reg.example:5001/u/m", "hf.co:80/u/m", "xhf.co/u/m", "a.hf.co/u/m"]
)
def test_any_other_registry_is_refused_with_the_way_to_allow_it(text: str) -> None:
    name = ModelName.parse(text)
    with pytest.raises(RegistryNotAllowed) as caught:
        check_registry(name, ["reg.example:5000"], allow_insecure=True)
    assert name.host in caught.value.message
    assert f'"{name.host}" to `allowedRegistries`' in str(caught.value.action)
    check_registry(name, ["reg.example:5000", name.host], allow_insecure=False)


@pytest.mark.parametrize("host", ["hf.co", "registry.ollama.ai", "reg.example:5000"])
def test_plain_http_has_to_be_allowed_besides(host: str) -> None:
    name = ModelName.parse(f"http://{host}/u/m")
    with pytest.raises(RegistryNotAllowed, match="plain http") as caught:
        check_registry(name, ["reg.example:5000"], allow_insecure=False)
    assert "`allowInsecureRegistries`" in str(caught.value.action)
    check_registry(name, ["reg.example:5000"], allow_insecure=True)


async def test_the_real_ollama_judges_every_name_as_we_do(tmp_path: Path) -> None:
    """It answers a delete with 400 if it does not take a name, with 404 or 500 if it does and has no such model."""
    chance = random.Random(1)
    made = {"".join(chance.choices("aZ0_-.:/@ ", k=chance.randint(1, 12))) for _ in range(400)}
    texts = [text for text in {*GOOD, *BAD, *made} - STRICTER if text.isprintable()]
    server = await asyncio.to_thread(OllamaServer, tmp_path / "home", executable=require(ollama).executable)
    with server:
        await asyncio.to_thread(server.wait_ready)
        for text in texts:
            answer = await asyncio.to_thread(call, "DELETE", f"{server.url}/api/delete", {"model": text})
            assert (answer.status != 400) == _is_name(text), (text, answer.status, answer.body)


def _is_name(text: str) -> bool:
    try:
        ModelName.parse(text)
    except BadModelName:
        return False
    return True
