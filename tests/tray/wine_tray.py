"""The real tray program for Windows, run by Wine with its icon on an X screen: seen and clicked as a person would."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import Xlib.display
import Xlib.error
import Xlib.X
from PIL import Image, ImageChops, ImageStat

import icons
from core.settings.paths import Paths
from tests.beds.panel import panel, seen, shows
from tests.beds.screen import program, screen
from tests.beds.sidecar import CHECKOUT
from tests.beds.wine import Wine, windows_path
from tests.rig import Rig
from tests.tray.program import Program

DEADLINE = 60.0
"""Seconds. What the program imports takes Wine 4 s, and 20 s where it shares two cores with four other programs."""
SIZE = (800, 700)
PANEL_HEIGHT = 32
ICON_SIZE = 16
_NEAR = 8
_LOOK_AGAIN = 0.05
_ALIKE = 1.0
_BLACK = 90
_SEPARATOR = 0.8
Box = tuple[int, int, int, int]


class Desk:
    """A screen with a panel that shows the icons of one Wine prefix."""

    def __init__(self, wine: Wine, display: str) -> None:
        self.wine = wine
        self.display = display
        self._x = Xlib.display.Display(display)
        self._taskbar = subprocess.Popen(
            wine.command(CHECKOUT / "tests" / "tray" / "taskbar.py"),
            env=wine.environment(display, CHECKOUT),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def close(self) -> None:
        """Let go of the screen and the taskbar."""
        self._x.close()
        try:
            self._taskbar.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            self._taskbar.kill()
            self._taskbar.communicate()

    def windows(self, owner: str) -> list[Box]:
        """Where the visible windows of that Windows program are: left, top, right, bottom."""
        found = []
        for window in self._x.screen().root.query_tree().children:
            try:
                if owner not in (window.get_wm_class() or ()):
                    continue
                shape = window.get_geometry()
                if window.get_attributes().map_state == Xlib.X.IsViewable and shape.width > 1:
                    found.append((shape.x, shape.y, shape.x + shape.width, shape.y + shape.height))
            except Xlib.error.BadWindow:
                continue
        return found

    def place(self, colour: tuple[int, int, int]) -> tuple[int, int] | None:
        """The middle of the icon if it has that colour, else None."""
        if not shows(self.display, colour):
            return None
        near = ImageChops.difference(seen(self.display), Image.new("RGB", SIZE, colour)).convert("L")
        box = near.point([255 * (level < _NEAR) for level in range(256)]).getbbox()
        return box and ((box[0] + box[2]) // 2, (box[1] + box[3]) // 2)

    async def until(self, colour: tuple[int, int, int]) -> tuple[int, int]:
        """The middle of the icon, once it has that colour."""
        found: list[tuple[int, int]] = []

        def is_there() -> bool:
            place = self.place(colour)
            found.extend([place] if place else [])
            return bool(found)

        await until(is_there)
        return found[-1]

    def is_sharp(self, look: str) -> bool:
        """Whether the panel shows the shipped image of that look, pixel by pixel.

        Not always that of an icon that came back: Wine then now and then draws its rim on black.
        """
        image = seen(self.display)
        across, down = image.size
        with Image.open(icons.path(look, ICON_SIZE)) as shipped:
            wanted = Image.new("RGBA", shipped.size, image.getpixel((across - 100, down - PANEL_HEIGHT // 2)))
            wanted.alpha_composite(shipped.convert("RGBA"))
        tile = wanted.convert("RGB")
        # It is the only icon, at the right end.
        for left in range(across - ICON_SIZE - 10, across - ICON_SIZE + 1):
            for top in range(down - PANEL_HEIGHT, down - ICON_SIZE + 1):
                there = image.crop((left, top, left + ICON_SIZE, top + ICON_SIZE))
                if max(ImageStat.Stat(ImageChops.difference(there, tile)).mean) < _ALIKE:
                    return True
        return False

    def click(self, place: tuple[int, int], button: int) -> None:
        """Click there; button 1 is the left one, 3 the right."""
        self._xdotool("mousemove", *map(str, place), "click", str(button))

    def point(self, place: tuple[int, int]) -> None:
        """Move the mouse there, as a person does: from the side."""
        self._xdotool("mousemove", str(place[0] - 3), str(place[1]), "mousemove", *map(str, place))

    def press(self, *keys: str) -> None:
        """Press these keys one after the other."""
        self._xdotool("key", *keys)

    def _xdotool(self, *words: str) -> None:
        subprocess.run(
            [program("xdotool", "xdotool"), *words],
            env=self.wine.environment(self.display),
            check=True,
            timeout=DEADLINE,
        )

    async def taskbar(self, command: str) -> str:
        """Have `taskbar.py` carry out a command; what it prints."""
        try:
            answer = await asyncio.wait_for(asyncio.to_thread(self._ask_taskbar, command), DEADLINE)
        except TimeoutError:
            # ExitWatcher the thread as well, for which the loop's end would wait.
            self._taskbar.kill()
            raise
        assert not answer.startswith("failed: "), f"{command}: {answer}"
        return answer

    def _ask_taskbar(self, command: str) -> str:
        asked, told = self._taskbar.stdin, self._taskbar.stdout
        assert asked is not None
        assert told is not None
        asked.write(f"{command}\n")
        asked.flush()
        answer = told.readline()
        assert answer, "the program that looks at the taskbar has ended"
        return answer.strip()

    async def tip(self, words: str) -> str:
        """The tip or balloon that has these words, once it can be seen."""
        async with asyncio.timeout(DEADLINE):
            while True:
                await until(lambda: bool(self.windows("explorer.exe")))
                for text in json.loads(await self.taskbar("tips")):
                    if words in text:
                        return str(text)

    async def balloon(self, words: str) -> None:
        """See a balloon that has these words, and dismiss it. Otherwise it stays for 10 s and hides half the menu."""
        await self.tip(words)
        await self.taskbar("dismiss")
        await until(lambda: not self.windows("explorer.exe"))


async def until(holds: Callable[[], bool]) -> None:
    """Return once it holds; AssertionError after 60 s. A look at a screen is too dear to be taken all the time."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        await asyncio.sleep(_LOOK_AGAIN)


@contextmanager
def desk(wine: Wine) -> Iterator[Desk]:
    """A screen, a panel and Wine on them. Raises BedMissing."""
    with screen(f"{SIZE[0]}x{SIZE[1]}x24") as display, panel(display), wine.running(display):
        found = Desk(wine, display)
        try:
            yield found
        finally:
            found.close()


class WindowsProgram(Program):
    """One run of `python -m tray` by Wine for a rig's settings. What it says is in its log."""

    def __init__(self, rig: Rig, desk: Desk) -> None:
        self.paths = Paths(rig.root)
        self._desk = desk
        (self.paths.run / "sidecar.json").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            desk.wine.command("-m", "tray", "--port", "0", "--data-dir", rig.root),
            cwd=CHECKOUT,
            env=desk.wine.environment(desk.display, CHECKOUT),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def said(self) -> str:
        """Its log."""
        return (self.paths.logs.parent / "sidecar.log").read_text(errors="replace")

    async def url(self) -> str:
        """Where its sidecar listens, once it does."""
        note = self.paths.run / "sidecar.json"
        await until(lambda: note.exists() and note.read_text() != "")
        return await super().url()

    async def end(self) -> None:
        """End it in any case, politely at first."""
        if self.process.poll() is not None:
            return
        try:
            await self._desk.taskbar("close")
            await self.ended(DEADLINE)
        except (AssertionError, TimeoutError, subprocess.TimeoutExpired) as error:
            self.process.kill()
            self.process.wait(DEADLINE)
            raise AssertionError(f"the tray program had to be killed: {self.said}") from error


def windows_rig(root: Path, wine: Wine) -> Rig:
    """Settings for the real `ollama.exe` with the model `tiny`."""
    env = {"OLLAMA_MODELS": windows_path(root / "models")}
    return Rig(root, windows_path(wine.ollama), env=env).with_model()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a menu on the screen, from `top` to `bottom`."""

    top: int
    bottom: int
    is_separator: bool
    is_grey: bool


@dataclass(frozen=True, slots=True)
class Menu:
    """A menu on the screen, and its lines from top to bottom."""

    box: Box
    rows: tuple[Row, ...]

    def enabled(self, labels: Sequence[str]) -> dict[str, bool]:
        """Which of its entries are black, if these are their names in order, "-" for a separator."""
        assert ["-" if label == "-" else "x" for label in labels] == [
            "-" if row.is_separator else "x" for row in self.rows
        ]
        return {label: not row.is_grey for label, row in zip(labels, self.rows, strict=True) if label != "-"}

    def place(self, number: int) -> tuple[int, int]:
        """Where to click for that line."""
        left, top, right, _ = self.box
        row = self.rows[number]
        return (left + right) // 2, top + (row.top + row.bottom) // 2


async def open_menu(desk: Desk, colour: tuple[int, int, int]) -> Menu:
    """Right-click the icon, once it has that colour, and read the menu."""
    desk.click(await desk.until(colour), 3)
    return await until_menu(desk, count=1)


async def until_menu(desk: Desk, count: int) -> Menu:
    """The newest of `count` menus that are open, once its text is painted and stays as it is."""
    await until(lambda: len(desk.windows("python.exe")) == count)
    found: list[Menu] = [read_menu(desk)]

    def is_settled() -> bool:
        found.append(read_menu(desk))
        return bool(found[-1].rows) and found[-1] == found[-2]

    await until(is_settled)
    return found[-1]


def read_menu(desk: Desk) -> Menu:
    """The topmost menu as its pixels are now."""
    box = desk.windows("python.exe")[-1]
    left, top, right, bottom = box
    # Without the frame.
    image = seen(desk.display).crop((left + 3, top + 3, right - 3, bottom - 3)).convert("L")
    paper = image.getpixel((1, 1))
    ink = image.point([255 * (level != paper) for level in range(256)])
    rows, began = [], None
    for y in range(image.height + 1):
        is_inked = y < image.height and ink.crop((0, y, image.width, y + 1)).getbbox() is not None
        if is_inked and began is None:
            began = y
        elif not is_inked and began is not None:
            rows.append(_row(image.crop((0, began, image.width, y)), ink.crop((0, began, image.width, y)), began + 3))
            began = None
    return Menu(box, tuple(rows))


def _row(image: Image.Image, ink: Image.Image, top: int) -> Row:
    darkest = min(image.tobytes())
    share = ImageStat.Stat(ink).mean[0] / 255
    is_separator = image.height <= 2 and share > _SEPARATOR
    return Row(top, top + image.height, is_separator, is_grey=not is_separator and darkest > _BLACK)
