"""What a form of all settings reads and writes. Belongs to one loop; nothing on it waits for the disk."""

from __future__ import annotations

from collections.abc import Mapping

from core.errors import ConfigError
from core.settings.edit import write_both
from core.settings.listing import changes_of
from core.settings.paths import Paths
from core.settings.reader import ASKED_SECONDS, Reading, SettingsReader
from core.threads.single_flight import within

_WRITE_SECONDS = 5.0


class SettingsForm:
    """The settings in force, and their change."""

    def __init__(self, paths: Paths, settings: SettingsReader) -> None:
        self._paths = paths
        self._settings = settings

    async def read(self) -> Reading:
        """What is in force now, and what is wrong with the files."""
        return await self._settings.fresh(seconds=ASKED_SECONDS)

    async def change(self, answer: Mapping[str, object]) -> Reading:
        """Write these values, named as in the files; null means the default. What is in force then.

        Raises BadSetting, with nothing changed, if a name or a value will not do; ConfigError if a file is damaged or
        cannot be written.
        """
        aura, sidecar = changes_of(answer, (await self._settings.fresh(seconds=ASKED_SECONDS)).settings)
        try:
            await within(_WRITE_SECONDS, "settings", lambda: write_both(self._paths, aura, sidecar))
        except TimeoutError:
            raise ConfigError(
                f"The settings in {self._paths.data} are not written: their disk does not answer.",
                action="See to that disk or network drive. They are written if the disk answers after all.",
            ) from None
        return await self._settings.fresh(seconds=ASKED_SECONDS)
