"""Any JSON object, in any style: where its members lie, and that a change touches nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from json import JSONDecodeError
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.settings.json_text import Document

OWN_KEYS = ("ollamaUrl", "ollamaModel", "ollamaExecutablePath")

white = st.text(" \t\r\n", max_size=4)
numbers = st.sampled_from(
    ["0", "-0", "1.10", "1e5", "1E+5", "-0.0e-0", "1e999", "123456789012345678901234567890", "9" * 4500]
)
strings = st.builds(json.dumps, st.text(max_size=8), ensure_ascii=st.booleans()) | st.sampled_from(
    ['"ollamaUrl"', '"\\ud800"', '"\\/\\u0041"', '"{\\"ollamaModel\\":1}"', '"//"']
)


def wrapped(text: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(white, text, white).map("".join)


def containers(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(wrapped(strings), st.just(":"), wrapped(values)).map("".join)
    arrays = st.lists(wrapped(values), max_size=3).map(lambda parts: f"[{','.join(parts)}]")
    objects = st.lists(member, max_size=3).map(lambda parts: f"{{{','.join(parts)}}}")
    return arrays | objects


values = st.recursive(numbers | strings | st.sampled_from(["true", "false", "null"]), containers, max_leaves=8)
foreign = strings.filter(lambda text: json.loads(text) not in OWN_KEYS)
own = st.sampled_from(['"ollamaUrl"', '"ollamaModel"', '"\\u006fllamaModel"', '"ollamaExecutablePath"'])
members = st.lists(
    st.tuples(white, foreign, white, white, values, white) | st.tuples(white, own, white, white, strings, white)
)
texts = st.none() | st.text(max_size=8)
urls = st.sampled_from([None, "", "localhost", "http://h:1/ü"])
changed = st.fixed_dictionaries({}, optional={**dict.fromkeys(OWN_KEYS[1:], texts), "ollamaUrl": urls})
documents = st.tuples(white, members, white, white)


def render(document: tuple[str, list[tuple[str, ...]], str, str], changes: dict[str, Any]) -> str:
    """The document's text, with the values of `changes` in the place of the old ones where those differ."""
    before, parts, inside, behind = document
    texts = []
    for first, key, second, third, value, last in parts:
        name = json.loads(key)
        new = name in changes and (json.loads(value) != changes[name])
        text = json.dumps(changes[name], ensure_ascii=False) if new else value
        texts.append(f"{first}{key}{second}:{third}{text}{last}")
    return f"{before}{{{','.join(texts) or inside}}}{behind}"


@pytest.mark.timeout(60)  # hundreds of examples
@settings(max_examples=400, deadline=None)
@given(documents, changed)
def test_any_document_changes_in_the_given_keys_only(
    document: tuple[str, list[tuple[str, ...]], str, str], changes: dict[str, Any]
) -> None:
    """Present keys are replaced in place, byte for byte; absent ones are one insertion, and read back in order."""
    text, expected = render(document, {}), render(document, changes)
    present = [json.loads(part[1]) for part in document[1]]
    absent = [key for key in changes if key not in present]
    before = Document.parse(text)
    after = before.edited(changes)
    if not absent:
        assert after == expected
    else:
        added = len(after) - len(expected)
        assert any(after[:at] + after[at + added :] == expected for at in range(len(expected) + 1))
    pairs = json.loads(after, object_pairs_hook=lambda found: found, parse_int=str, parse_float=str)
    assert [key for key, _ in pairs] == present + absent
    assert all(value == changes[key] for key, value in pairs if key in changes)
    again = Document.parse(after)
    assert [member.key for member in again.members] == present + absent
    assert {key: again.values[key] for key in changes} == changes
    assert again.others(changes) == before.others(changes)
    assert again.edited(changes) == after


def test_the_last_of_equal_keys_counts() -> None:
    document = Document.parse('{"a": 1,\n"b": 2,\n"a": 3}')
    assert document.values == {"a": 3, "b": 2}
    assert document.line_of(["a"]) == 3


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ([], 1),
        (["a"], 3),
        (["a", "b"], 4),
        (["a", "none"], 3),
        (["none", "b"], 1),
        (["c", "b"], 6),
    ],
)
def test_a_line_is_that_of_the_last_key_found_on_the_path(keys: Sequence[str], line: int) -> None:
    """Texts in the way, even ones with an object in them, are not looked into."""
    document = Document.parse('{\n\n"a": {\n"b": 1,\n"x": 2},\n"c": "{\\"b\\":1}"\n}')
    assert document.line_of(keys) == line


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1}, [object()]])
def test_a_value_that_json_cannot_express_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"JSON|serializable"):
        Document.parse("{}").edited({"a": value})


def test_an_error_tells_line_and_column() -> None:
    with pytest.raises(JSONDecodeError) as caught:
        Document.parse('{\n "a": 1\n "b": 2}')
    assert (caught.value.lineno, caught.value.colno, caught.value.msg) == (3, 2, "Expecting ',' or '}'")
