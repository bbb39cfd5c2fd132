"""Draws every image anew: `python -m icons.draw`. Vectors in a square of 16 units; the shape tells without colour.

Green, red and amber are the Aura app's own success, error and warning colours. A dark rim around a light one keeps each
shape visible on light and dark panels.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from icons import SIZES

GREEN, RED, AMBER = "#34C759", "#FF3B30", "#FF9500"
WHITE, RIM = "#FFFFFF", "#1C1C1E"
UNITS = 16
SMOOTH = 8

Point = tuple[float, float]


class Canvas:
    """A square that is drawn large and made smooth by scaling it down."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._unit = size * SMOOTH / UNITS
        self._image = Image.new("RGBA", (size * SMOOTH, size * SMOOTH), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self._image)

    def disc(self, centre: Point, radius: float, fill: str) -> None:
        """A filled circle."""
        (x, y), unit = centre, self._unit
        box = ((x - radius) * unit, (y - radius) * unit, (x + radius) * unit, (y + radius) * unit)
        self._draw.ellipse(box, fill=fill)

    def shape(self, points: list[Point], fill: str) -> None:
        """A filled polygon."""
        self._draw.polygon([(x * self._unit, y * self._unit) for x, y in points], fill=fill)

    def stroke(self, points: list[Point], width: float, fill: str) -> None:
        """A line with round ends and joints."""
        scaled = [(x * self._unit, y * self._unit) for x, y in points]
        self._draw.line(scaled, fill=fill, width=round(width * self._unit), joint="curve")
        for point in points:
            self.disc(point, width / 2, fill)

    def result(self) -> Image.Image:
        """The image in its own size."""
        return self._image.resize((self._size, self._size), Image.Resampling.LANCZOS)


def up(canvas: Canvas) -> None:
    """A green disc with a tick."""
    _rimmed_disc(canvas, GREEN)
    canvas.stroke([(4.6, 8.3), (7.0, 10.8), (11.5, 5.6)], 1.9, WHITE)


def down(canvas: Canvas) -> None:
    """A red square on its point with a bar: another outline than the disc's."""
    _rimmed_corners(canvas, [(8, 2.3), (13.7, 8), (8, 13.7), (2.3, 8)], RED)
    canvas.stroke([(5.2, 8), (10.8, 8)], 2.0, WHITE)


def busy(canvas: Canvas) -> None:
    """An amber disc with three dots."""
    _rimmed_disc(canvas, AMBER)
    for x in (4.6, 8.0, 11.4):
        canvas.disc((x, 8), 1.2, WHITE)


def trouble(canvas: Canvas) -> None:
    """An amber triangle with an exclamation mark."""
    _rimmed_corners(canvas, [(8, 2.9), (13.6, 12.9), (2.4, 12.9)], AMBER)
    canvas.stroke([(8, 6.2), (8, 9.3)], 1.7, WHITE)
    canvas.disc((8, 11.8), 1.0, WHITE)


def _rimmed_disc(canvas: Canvas, fill: str) -> None:
    canvas.disc((8, 8), 7.9, RIM)
    canvas.disc((8, 8), 7.4, WHITE)
    canvas.disc((8, 8), 6.8, fill)


def _rimmed_corners(canvas: Canvas, corners: list[Point], fill: str) -> None:
    for width, colour in ((4.4, RIM), (3.2, WHITE), (2.0, fill)):
        canvas.stroke([*corners, corners[0]], width, colour)
        canvas.shape(corners, colour)


def main() -> None:
    """Write all PNGs, and one icon file a look for Windows."""
    folder = Path(__file__).parent
    for look in (up, down, busy, trouble):
        images = []
        for size in SIZES:
            canvas = Canvas(size)
            look(canvas)
            images.append(canvas.result())
            images[-1].save(folder / f"{look.__name__}-{size}.png", optimize=True)
        images[-1].save(
            folder / f"{look.__name__}.ico", append_images=images[:-1], sizes=[image.size for image in images]
        )


if __name__ == "__main__":
    main()
