"""docs/windows.md names tests that there are, and each that is beyond Wine; the person's script names menu entries."""

from __future__ import annotations

import re
from pathlib import Path

from core.supervision.state import State
from docs.windows_check import QUESTIONS
from tests.beds.sidecar import CHECKOUT
from tests.tray.test_menu import everything, shown

DOCUMENT = (CHECKOUT / "docs" / "windows.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(?:(tests/[\w/]+\.py)|…)(?:::(\w+))?`")
BEYOND = re.compile(r"^@tied\.beyond_wine\(.*\n(?:@.*\n)*(?:async )?def (\w+)", re.MULTILINE)


def test_every_test_that_it_names_exists() -> None:
    path, count = "", 0
    for found in NAMED.finditer(DOCUMENT):
        path = found[1] or path
        source = (CHECKOUT / path).read_text(encoding="utf-8")
        assert found[2] is None or re.search(rf"^(async )?def {found[2]}\(", source, re.MULTILINE), found[0]
        count += 1
    assert count > 15


def test_it_lists_every_test_that_is_beyond_wine() -> None:
    beyond = [
        name for path in Path(CHECKOUT, "tests").rglob("test_*.py") for name in BEYOND.findall(path.read_text("utf-8"))
    ]
    assert beyond
    assert [name for name in beyond if f"::{name}`" not in DOCUMENT] == []


def test_what_the_person_is_asked_to_choose_is_in_the_menu() -> None:
    named = re.findall("“(.*?)”", " ".join(QUESTIONS))
    assert len(named) >= 8
    assert set(named) <= {item.label for state in State for item in everything(shown(state).items)}
