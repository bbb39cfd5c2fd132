"""Opens and copies what the menu offers: logs, folders, settings, pages, addresses. On the loop.

Each function returns the toast that tells how it went, None if what has appeared tells it. What a disk or a desktop may
hold up has a deadline: then it raises TimeoutError.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from core import files
from core.errors import CoreError
from core.logs import tail
from core.platform import desktop
from core.settings import edit
from core.settings.paths import Paths
from core.text import in_sentences, isolated
from core.threads.single_flight import SingleFlight, within
from tray.toasts import Kind, Toast

_READ_SECONDS = 2.0
_OPEN_SECONDS = 5.0
_COPY_SECONDS = 8.0
_WRITE_SECONDS = 5.0
_REPORT_LINES = 60
_REPORT = "what-went-wrong.txt"


class Places:
    """Those of one data folder, for the instance `default`."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._newest_log = SingleFlight("log folder", lambda: tail.newest(str(paths.logs)))

    async def newest_log(self) -> str | None:
        """The path of the newest log, None if there is none. Raises OSError or TimeoutError."""
        return await self._newest_log.run(_READ_SECONDS)

    async def open_newest_log(self) -> Toast | None:
        """Open it, or the folder where it would be."""
        return await _open(await self.newest_log() or str(self._paths.logs))

    async def open_logs(self) -> Toast | None:
        """Open the folder of Ollama's logs, or before the first one that of all data."""
        has_any = await self.newest_log() is not None
        return await _open(str(self._paths.logs if has_any else self._paths.data))

    async def open_data(self) -> Toast | None:
        """Open the folder of all data."""
        return await _open(str(self._paths.data))

    async def open_aura_settings(self) -> Toast | None:
        """Open Aura's own settings, if there are any. They are not ours to make."""
        path = self._paths.settings
        if not await within(_READ_SECONDS, "settings", path.exists):
            return Toast("Aura's Settings", f"Aura has not written any yet. They will be in {path}")
        return await _open(str(path))

    async def open_own_settings(self) -> Toast | None:
        """Open this program's settings, made first if there are none. Raises ConfigError."""
        await within(_WRITE_SECONDS, "settings", partial(edit.create_sidecar, self._paths))
        return await _open(str(self._paths.sidecar))

    async def open_failure(self, failure: CoreError | None) -> Toast | None:
        """Open a text that tells of a failure and has the end of Ollama's log.

        Editors open a log at its beginning, and no desktop can be asked for another place.
        """
        log = await self.newest_log()
        report = self._paths.logs.parent / _REPORT
        await within(_WRITE_SECONDS, "report", partial(_write_report, report, failure, log))
        return await _open(str(report))


def _write_report(path: Path, failure: CoreError | None, log: str | None) -> None:
    parts = [failure.title, in_sentences(failure.message, failure.action)] if failure else []
    if log:
        parts.append(f"The end of {log}:")
        parts.append("\n".join(tail.last_lines(log, _REPORT_LINES)))
    # The log may hold prompts: this file is for nobody else either.
    files.write(str(path), "\n\n".join(parts) + "\n")


async def open_page(url: str) -> Toast | None:
    """Open a page in the user's browser."""
    if await within(_OPEN_SECONDS, "browser", partial(desktop.open_url, url)):
        return None
    return Toast("Could Not Open It", url)


async def copy(text: str) -> Toast:
    """Put `text`, an address or a name, on the clipboard."""
    told = isolated(text)
    if await within(_COPY_SECONDS, "clipboard", partial(desktop.copy_text, text)):
        return Toast("Copied", f"{told} is on the clipboard.", kind=Kind.NEWS)
    return Toast("Could Not Copy It", told)


async def _open(path: str) -> Toast | None:
    if await within(_OPEN_SECONDS, "desktop", partial(desktop.open_path, path)):
        return None
    return Toast("Could Not Open It", f"It is in {path}")
