"""Which model a file of weights belongs to: `/api/ps` names models, a runner's command line names files.

A model's manifest, a small JSON file beside the weights, says which file it has: `MODELS/blobs/sha256-…` is named in
`MODELS/manifests/HOST/NAMESPACE/MODEL/TAG`. Source: https://github.com/ollama/ollama/blob/main/server/modelpath.go
and the media types in https://github.com/ollama/ollama/blob/main/server/images.go. Blocks on the disk: use a thread.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path, PurePath

import msgspec

_MODEL_LAYER = "application/vnd.ollama.image.model"
_MOST_BYTES = 1 << 20
_MOST_KNOWN = 256
_HOST, _NAMESPACE, _TAG = "registry.ollama.ai", "library", "latest"


class _Layer(msgspec.Struct):
    media_type: str = msgspec.field(default="", name="mediaType")
    digest: str = ""


class _Manifest(msgspec.Struct):
    layers: list[_Layer] = []


class WeightsIndex:
    """Remembers which of the loaded models a file is of. One thread at a time learns."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, tuple[str, ...]], str | None] = {}

    def knows(self, weights: str, models: tuple[str, ...]) -> bool:
        """Whether `model_of` need not look at the disk, and so may be asked on the loop."""
        return (weights, models) in self._known

    def model_of(self, weights: str, models: tuple[str, ...]) -> str | None:
        """The one of these models, all loaded, that has that file; None if that cannot be told.

        A file that two models share tells only if one of them is loaded.
        """
        key = weights, models
        if key not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = [name for name in models if _has(name, Path(weights))]
            self._known[key] = found[0] if len(found) == 1 else None
        return self._known[key]


def _has(model: str, weights: Path) -> bool:
    path = weights.parent.parent / "manifests" / manifest_place(model)
    with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError, ValueError), path.open("rb") as file:
        manifest = msgspec.json.decode(file.read(_MOST_BYTES), type=_Manifest)
        digests = [layer.digest for layer in manifest.layers if layer.media_type == _MODEL_LAYER]
        return weights.name in {digest.replace(":", "-") for digest in digests}
    return False


def manifest_place(model: str) -> PurePath:
    """Where the manifest of a model is below `manifests`: the parts that a short name leaves out are those of Ollama.

    A name that would lead elsewhere leads to a file that is not there.
    """
    path, _, tag = model.rpartition(":") if ":" in model.rpartition("/")[2] else (model, "", "")
    parts = path.split("/")
    if len(parts) < 2:
        parts = [_NAMESPACE, *parts]
    if len(parts) < 3:
        parts = [_HOST, *parts]
    return PurePath(*(part for part in (*parts, tag or _TAG) if part not in ("", ".", "..")))
