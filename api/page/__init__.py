"""The page at `/`: HTML, style sheets and ES modules of our own, served as they are, without a build.

`index.html` has the sections; `app.js` wires the modules, each of which fills one of them. They know of Ollama only
what the API tells, in its words. All that it tells is untrusted text: it becomes text nodes and attributes, never HTML,
which the page's policy (`api.routes.page`) forbids besides. Nothing is loaded from another server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    paths = [path for path in sorted(Path(__file__).parent.iterdir()) if path.suffix in _TYPES]
    found = {path.name: File(path.read_bytes(), _TYPES[path.suffix]) for path in paths}
    for look in (*icons.LOOKS, icons.APP):
        found[f"{look}.png"] = File(icons.path(look, _ICON_PIXELS).read_bytes(), _TYPES[".png"])
    return MappingProxyType(found)


FILES = _read()
"""All files by name, read when this module is imported: no request leads to a path on the disk."""
INDEX = "index.html"
