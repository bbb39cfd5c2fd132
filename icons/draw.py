"""Draws every image anew: `python -m icons.draw`. The shape tells without colour.

Green, red and amber are the Aura app's own success, error and warning colours. Around each shape runs a translucent
dark rim, and where there is room a light one inside it, so that it stands out on light and dark panels. Every size is
drawn for itself: what is straight lies on whole pixels, and small sizes have bolder signs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

from icons import APP, SIZES

GREEN, RED, AMBER = (52, 199, 89, 255), (255, 59, 48, 255), (255, 149, 0, 255)
WHITE, LIGHT, DARK = (255, 255, 255, 255), (255, 255, 255, 235), (28, 28, 30, 150)
INDIGO, VIOLET = (49, 46, 129), (124, 58, 237)
SMOOTH = 8
ICO_SIZES = (16, 20, 24, 28, 32, 36, 40, 48, 64, 256)
"""What Windows asks for at its usual scales, in the tray 16 at 100 % to 36 at 225 %, 40 at 250 %."""
_LIGHT_RIM_FROM = 32

Colour = tuple[int, int, int, int]
Point = tuple[float, float]


class Canvas:
    """A square of `size` pixels that is drawn eight times as large and made smooth by averaging.

    What is drawn replaces what was there, translucent or not.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.image = Image.new("RGBA", (size * SMOOTH, size * SMOOTH), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self.image)

    def box(self, left: float, top: float, right: float, bottom: float, radius: float, fill: Colour) -> None:
        """A rectangle with round corners; edges at whole numbers are sharp."""
        corners = (left * SMOOTH, top * SMOOTH, right * SMOOTH - 1, bottom * SMOOTH - 1)
        self._draw.rounded_rectangle(corners, radius * SMOOTH, fill)

    def disc(self, centre: Point, radius: float, fill: Colour) -> None:
        """A filled circle."""
        x, y = centre
        self._draw.ellipse(
            ((x - radius) * SMOOTH, (y - radius) * SMOOTH, (x + radius) * SMOOTH - 1, (y + radius) * SMOOTH - 1), fill
        )

    def stroke(self, points: list[Point], width: float, fill: Colour) -> None:
        """A line with round ends and joints."""
        scaled = [(x * SMOOTH, y * SMOOTH) for x, y in points]
        self._draw.line(scaled, fill, round(width * SMOOTH))
        for point in points:
            self.disc(point, width / 2, fill)

    def swollen(self, corners: list[Point], radius: float, fill: Colour) -> None:
        """A filled polygon, grown by `radius` on all sides with round corners."""
        self._draw.polygon([(x * SMOOTH, y * SMOOTH) for x, y in corners], fill)
        self.stroke([*corners, corners[0]], 2 * radius, fill)

    def result(self) -> Image.Image:
        """The image in its own size."""
        return self.image.reduce(SMOOTH)


def up(canvas: Canvas) -> None:
    """A green disc with a tick."""
    _rimmed_disc(canvas, GREEN)
    size = canvas.size
    points = [(0.285 * size, 0.52 * size), (0.435 * size, 0.67 * size), (0.71 * size, 0.345 * size)]
    canvas.stroke(points, max(2.0, 0.125 * size), WHITE)


def down(canvas: Canvas) -> None:
    """A red square on its point with a bar: another outline than the disc's."""
    middle, rims = canvas.size / 2, _rims(canvas.size)
    # A round corner of radius r lies √2 r from the corner of the straight edges.
    for grown, fill in _layers(rims, RED):
        radius = 0.08 * canvas.size + grown
        reach = middle - sum(rims) - 0.08 * canvas.size
        corners = [
            (middle, middle - reach),
            (middle + reach, middle),
            (middle, middle + reach),
            (middle - reach, middle),
        ]
        canvas.swollen(corners, radius, fill)
    thick, long = _even(0.155 * canvas.size), round(0.21 * canvas.size)
    canvas.box(middle - long, middle - thick / 2, middle + long, middle + thick / 2, _corner(thick), WHITE)


def external(canvas: Canvas) -> None:
    """The green disc with two links of a chain: an Ollama that is somebody else's."""
    _rimmed_disc(canvas, GREEN)
    size, middle = canvas.size, canvas.size / 2
    thick = max(2, round(0.08 * size))
    bar, gap = _even(thick), max(1, round(0.045 * size))
    high, wide = bar + 2 * (gap + thick), 2 * round(0.35 * size)
    links = Canvas(size)
    for grown, fill in ((0, WHITE), (-thick, GREEN)):
        links.box(
            middle - wide / 2 - grown,
            middle - high / 2 - grown,
            middle + wide / 2 + grown,
            middle + high / 2 + grown,
            0.36 * high + grown,
            fill,
        )
    # Each link is open towards the other, and a bar goes through both.
    opening, reach = max(1, round(0.08 * size)), round(0.17 * size)
    links.box(middle - opening, middle - high / 2, middle + opening, middle + high / 2, 0, GREEN)
    links.box(middle - reach, middle - bar / 2, middle + reach, middle + bar / 2, _corner(bar), WHITE)
    canvas.image.alpha_composite(links.image)


def failed(canvas: Canvas) -> None:
    """A red square with a cross: something went wrong, and nothing runs."""
    size, rims = canvas.size, _rims(canvas.size)
    # A square as wide as the discs would look larger than they do.
    inset = int(0.049 * size)
    for grown, fill in _layers(rims, RED):
        edge = inset + sum(rims) - grown
        canvas.box(edge, edge, size - edge, size - edge, 0.14 * size + grown, fill)
    near, far = 0.315 * size, 0.685 * size
    stroke = Canvas(size)
    stroke.stroke([(near, near), (far, far)], max(2.0, 0.135 * size), WHITE)
    # Pillow draws a slanting line a little to one side.
    for turned in (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270):
        canvas.image.alpha_composite(stroke.image.transpose(turned))
    canvas.image.alpha_composite(stroke.image)


def busy(canvas: Canvas) -> None:
    """An amber disc with three dots."""
    _rimmed_disc(canvas, AMBER)
    middle, wide = canvas.size / 2, _even(0.14 * canvas.size)
    pitch = max(wide + 2, round(0.225 * canvas.size))
    for x in (middle - pitch, middle, middle + pitch):
        canvas.box(x - wide / 2, middle - wide / 2, x + wide / 2, middle + wide / 2, _corner(wide), WHITE)


def trouble(canvas: Canvas) -> None:
    """An amber triangle with an exclamation mark."""
    size, rims = canvas.size, _rims(canvas.size)
    core = max(1.0, 0.07 * size)
    edge = sum(rims) + core
    top, bottom = edge + 0.01 * size, round(0.95 * size) - edge
    corners = [(size / 2, top), (size - edge, bottom), (edge, bottom)]
    for grown, fill in _layers(rims, AMBER):
        canvas.swollen(corners, core + grown, fill)
    wide = _even(0.14 * size)
    left, right = size / 2 - wide / 2, size / 2 + wide / 2
    foot = round(0.95 * size) - sum(rims) - max(1, round(0.075 * size))
    gap = max(1, round(0.06 * size))
    canvas.box(left, foot - wide, right, foot, _corner(wide), WHITE)
    canvas.box(left, round(0.33 * size), right, foot - wide - gap, _corner(wide), WHITE)


def app(canvas: Canvas) -> None:
    """The program itself: a ring with an aura of arcs, and a light that is on."""
    size, middle = canvas.size, canvas.size / 2
    inset = round(0.03 * size)
    tile = Canvas(size)
    tile.box(inset, inset, size - inset, size - inset, 0.22 * size, WHITE)
    canvas.image.paste(_gradient(size * SMOOTH), mask=tile.image.getchannel("A"))
    if size >= _LIGHT_RIM_FROM:
        for radius, strength in ((0.40, 60), (0.335, 110)):
            _ring(canvas, radius * size, max(1.0, 0.03 * size), strength)
    _ring(canvas, (0.235 if size >= _LIGHT_RIM_FROM else 0.27) * size, max(2.0, 0.095 * size), 255)
    spot = (middle + 0.235 * size, middle + 0.235 * size)
    canvas.disc(spot, 0.185 * size, (*INDIGO, 255))
    canvas.disc(spot, 0.135 * size, GREEN)


def _ring(canvas: Canvas, radius: float, width: float, strength: int) -> None:
    """A white ring laid over what is there."""
    ring = Canvas(canvas.size)
    middle = (canvas.size / 2, canvas.size / 2)
    ring.disc(middle, radius + width / 2, (255, 255, 255, strength))
    ring.disc(middle, radius - width / 2, (0, 0, 0, 0))
    canvas.image.alpha_composite(ring.image)


def _gradient(size: int) -> Image.Image:
    mask = Image.linear_gradient("L").resize((size, size))
    return Image.composite(Image.new("RGBA", (size, size), INDIGO), Image.new("RGBA", (size, size), VIOLET), mask)


def _rimmed_disc(canvas: Canvas, fill: Colour) -> None:
    rims = _rims(canvas.size)
    middle = canvas.size / 2
    for grown, colour in _layers(rims, fill):
        canvas.disc((middle, middle), middle - sum(rims) + grown, colour)


def _rims(size: int) -> tuple[int, int]:
    """The widths in pixels of the dark rim and of the light one."""
    return max(1, round(size / 32)), max(1, round(size / 36)) if size >= _LIGHT_RIM_FROM else 0


def _layers(rims: tuple[int, int], fill: Colour) -> list[tuple[float, Colour]]:
    """From the outside in: by how much each layer is larger than the innermost, and its colour."""
    dark, light = rims
    return [(dark + light, DARK), *([(light, LIGHT)] if light else []), (0, fill)]


def _even(width: float) -> int:
    """Around the middle of an even size, only an even width ends on whole pixels."""
    return max(2, 2 * math.floor(width / 2 + 0.5))


def _corner(width: float) -> float:
    """Round ends, but for a sign of two pixels, which they would blur away."""
    return width / 2 if width > 2 else 0.25


def save(draw: Callable[[Canvas], None], name: str, folder: Path) -> None:
    """Write the PNGs of one look, and its icon file for Windows."""
    images = []
    for size in SIZES:
        canvas = Canvas(size)
        draw(canvas)
        images.append(canvas.result())
        images[-1].save(folder / f"{name}-{size}.png", optimize=True)
    sizes = [(size, size) for size in ICO_SIZES]
    images[-1].save(folder / f"{name}.ico", append_images=images[:-1], sizes=sizes)


def main(folder: Path = Path(__file__).parent) -> None:
    """Write everything that `icons` ships."""
    for look in (up, external, down, failed, busy, trouble):
        save(look, look.__name__, folder)
    save(app, APP, folder)


if __name__ == "__main__":
    main()
