"""axe-core, which looks for what keeps people from using a page: https://github.com/dequelabs/axe-core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.beds import cache, wheels
from tests.beds.wheels import Wheel

if TYPE_CHECKING:
    from playwright.sync_api import Page

VERSION = "4.12.1"
_FILE = "axe.min.js"
_WHEEL = Wheel(
    "axe-playwright-python==0.1.8",
    "fdd263c998388f1a8e67cad02677e612d946248bd44d163be5e8650ea31f95f8",
    members=frozenset({_FILE}),
)
"""The package on the Python index that carries this version; of it only axe-core's own file is taken."""
_RUN = """async () => {
    const found = await axe.run(document, {resultTypes: ["violations"]});
    return found.violations.flatMap((rule) => rule.nodes.map((node) =>
        `${rule.id}: ${node.target.join(" ")}: ${node.failureSummary.replaceAll("\\n", " ")}`));
}"""


def script() -> str:
    """axe-core's source. Raises BedMissing."""
    folder = cache.built(f"axe-{VERSION}", lambda place: wheels.unpack([_WHEEL], place))
    return (folder / _FILE).read_text(encoding="utf-8")


def findings(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is at this moment, by all of its rules, best practices included.

    It comes into the page by the debugger, which a Content-Security-Policy does not keep out.
    """
    page.evaluate(f"() => {{ {script()} }}")
    found = page.evaluate(_RUN)
    assert isinstance(found, list)
    return [str(one) for one in found]
