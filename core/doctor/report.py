"""What an examination found: as JSON for programs, and as a text that is fit to be pasted into a public issue. Pure."""

from __future__ import annotations

import getpass
import platform
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from core import __version__
from core.doctor.finding import NOT_CHECKED, Finding, Severity
from core.text import on_one_line, spelt_out

HEADING = "# aura-ollama doctor"
"""The first line of each report, by which an earlier one is known."""


@dataclass(frozen=True, slots=True)
class Report:
    """The findings, worst first, with secrets starred, and the names of the checks that could be made."""

    findings: tuple[Finding, ...]
    checked: tuple[str, ...]

    @property
    def is_broken(self) -> bool:
        """Whether something does not work."""
        return any(finding.severity is Severity.BROKEN for finding in self.findings)

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong, as far as could be checked."""
        return all(finding.severity is Severity.NOTE for finding in self.findings)

    @property
    def praise(self) -> str:
        """What to say if it is well. A check that could not be made says nothing about what it looks at."""
        is_whole = all(finding.code != NOT_CHECKED for finding in self.findings)
        return "Nothing is wrong." if is_whole else "Nothing is wrong with what could be checked."

    def as_json(self) -> dict[str, object]:
        """The report for a program."""
        return {
            "version": __version__,
            "broken": self.is_broken,
            "findings": [asdict(finding) for finding in self.findings],
            "checked": list(self.checked),
        }

    def as_text(self) -> str:
        """The report for an issue, in Markdown. The home folder is `~` and this user has no name: both are private."""
        lines = [
            HEADING,
            "",
            f"aura-ollama {__version__}, Python {platform.python_version()}, {platform.platform()}",
            "",
        ]
        for finding in self.findings:
            lines.append(f"- **{finding.severity}: {on_one_line(finding.title)}** (`{finding.code}`)  ")
            lines.append(f"  {on_one_line(finding.message)}")
            if finding.action:
                lines[-1] += "  "
                lines.append(f"  → {on_one_line(finding.action)}")
        if self.is_well:
            lines.append(self.praise)
        lines += ["", f"Checked: {', '.join(self.checked) or 'nothing'}.", ""]
        return _without_person(spelt_out("\n".join(lines)))


def _without_person(text: str) -> str:
    with suppress(RuntimeError):
        home = str(Path.home())
        # Not a home that is a part of every path, as a service's may be.
        if home.strip("/\\") and Path(home).parent != Path(home):
            text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
    with suppress(OSError, KeyError, ImportError):
        # As `core.ollama.listener` says whose a process is.
        text = re.sub(rf"(?<=user ){re.escape(getpass.getuser())}(?=\W)", "***", text)
    return text
