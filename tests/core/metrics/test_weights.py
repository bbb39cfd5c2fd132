"""Which model a file of weights belongs to, by manifests as Ollama writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.metrics.weights import WeightsIndex, manifest_place

_MODEL = "application/vnd.ollama.image.model"


def _write(models: Path, place: str, digest: str, kind: str = _MODEL) -> None:
    path = models / "manifests" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    layers = [{"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:9"}]
    path.write_text(json.dumps({"layers": [*layers, {"mediaType": kind, "digest": digest}]}))


def test_a_file_is_of_the_model_whose_manifest_names_it(tmp_path: Path) -> None:
    """As long as one of the loaded ones does; a file of another kind of layer is none."""
    _write(tmp_path, "registry.ollama.ai/library/one/latest", "sha256:1")
    _write(tmp_path, "registry.ollama.ai/library/copy/latest", "sha256:1")
    _write(tmp_path, "hf.co/user/two/q4", "sha256:2")
    _write(
        tmp_path, "registry.ollama.ai/library/adapter/latest", "sha256:3", kind="application/vnd.ollama.image.adapter"
    )
    index = WeightsIndex()
    one, two, three = (str(tmp_path / "blobs" / f"sha256-{number}") for number in (1, 2, 3))
    loaded = ("adapter:latest", "hf.co/user/two:q4", "one:latest")
    assert not index.knows(one, loaded)
    assert [index.model_of(weights, loaded) for weights in (one, two, three)] == [
        "one:latest",
        "hf.co/user/two:q4",
        None,
    ]
    assert index.knows(one, loaded)
    assert index.model_of(one, ("copy:latest", "one:latest")) is None
    assert index.model_of(one, ("copy:latest",)) == "copy:latest"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"layers": 5}', b'{"layers": [5]}', b"\xff\xfe", None])
def test_a_manifest_that_cannot_be_used_tells_nothing(tmp_path: Path, content: bytes | None) -> None:
    """Torn, of another shape, no text, or none at all."""
    path = tmp_path / "manifests/registry.ollama.ai/library/one/latest"
    path.parent.mkdir(parents=True)
    if content is not None:
        path.write_bytes(content)
    assert WeightsIndex().model_of(str(tmp_path / "blobs/sha256-1"), ("one:latest",)) is None


@pytest.mark.parametrize(
    ("model", "place"),
    [
        ("tiny", "registry.ollama.ai/library/tiny/latest"),
        ("tiny:3b", "registry.ollama.ai/library/tiny/3b"),
        ("user/tiny:3b", "registry.ollama.ai/user/tiny/3b"),
        ("hf.co/user/tiny:q4", "hf.co/user/tiny/q4"),
        ("host:5000/user/tiny", "host:5000/user/tiny/latest"),
        ("../../etc/passwd:x", "etc/passwd/x"),
        ("/etc/passwd", "etc/passwd/latest"),
    ],
)
def test_a_manifest_lies_where_the_name_says_and_never_above(model: str, place: str) -> None:
    assert manifest_place(model).as_posix() == place
