"""The page at `/`: HTML, style sheets and ES modules of our own, served as they are, without a build.

`index.html` has the sections; `app.js` wires the modules, each of which fills one of them. They know of Ollama only
what the API tells, in its words. All that it tells is untrusted text: it becomes text nodes and attributes, never HTML,
which the page's policy (`api.routes.page`) forbids besides. Nothing is loaded from another server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType

import icons

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".png": "image/png"}
_ICON_PIXELS = 48


@dataclass(frozen=True, slots=True)
class File:
    """One file of the page: its bytes, and its media type."""

    content: bytes
    media_type: str


def _read() -> Mapping[str, File]:
    # As resources: the program may lie in an archive, where they are no files.
    found = {
        entry.name: File(entry.read_bytes(), media_type)
        for entry in sorted(resources.files(__name__).iterdir(), key=lambda entry: entry.name)
        if (media_type := _TYPES.get(Path(entry.name).suffix))
    }
    for look in (*icons.LOOKS, icons.APP):
        picture = resources.files(icons) / icons.path(look, _ICON_PIXELS).name
        found[f"{look}.png"] = File(picture.read_bytes(), _TYPES[".png"])
    return MappingProxyType(found)


FILES = _read()
"""All files by name, read when this module is imported: no request leads to a path on the disk."""
INDEX = "index.html"
