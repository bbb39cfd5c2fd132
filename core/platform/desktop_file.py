"""How the desktops' own entries are written: whole, beside their place, under a name that no session reads."""

from __future__ import annotations

import os
import tempfile


def write(path: str, content: bytes) -> None:
    """Put `content` there at once, with the folders it needs. Raises OSError, with what was there before left."""
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=folder, prefix=".aura-ollama.")
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
