"""The images that ship are those that the script draws, and can be told apart, also without colour."""

from __future__ import annotations

from itertools import combinations, groupby, pairwise
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat
from PIL.IcoImagePlugin import IcoFile

import icons
from icons import APP, LOOKS, SIZES, draw

NAMES = (*LOOKS, APP)
MOST_BYTES = 450_000
PANELS = [(246, 246, 246), (43, 43, 43)]
ALIKE = 12
"""Mean difference in grey levels, of 255, below which two small images might be taken for each other."""


def pixels(path: Path) -> Image.Image:
    """The image in memory."""
    with Image.open(path) as image:
        return image.convert("RGBA")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which everything has just been drawn anew."""
    folder = tmp_path_factory.mktemp("icons")
    draw.main(folder)
    return folder


def test_what_ships_is_what_the_script_draws_and_is_small(drawn: Path) -> None:
    shipped = {path.name: path for path in Path(icons.__file__).parent.iterdir() if path.suffix in {".png", ".ico"}}
    assert set(shipped) == {path.name for path in drawn.iterdir()}
    for name, path in shipped.items():
        assert pixels(path).tobytes() == pixels(drawn / name).tobytes(), name
    assert sum(path.stat().st_size for path in shipped.values()) < MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_an_icon_file_holds_each_size_as_it_was_drawn(name: str) -> None:
    with Path(icons.__file__).with_name(f"{name}.ico").open("rb") as file:
        icon = IcoFile(file)
        assert icon.sizes() == {(size, size) for size in draw.ICO_SIZES}
        for size in draw.ICO_SIZES:
            frame = icon.getimage((size, size)).convert("RGBA")
            assert frame.tobytes() == pixels(icons.path(name, size)).tobytes()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("panel", PANELS)
def test_the_looks_differ_without_colour_on_any_panel(size: int, panel: tuple[int, int, int]) -> None:
    """By their outlines on a light panel, and on a dark one by the white signs alone, so whatever colours one sees."""
    grey = {}
    for look in LOOKS:
        tile = Image.new("RGBA", (size, size), panel)
        tile.alpha_composite(pixels(icons.path(look, size)))
        # The luminances of the colours must not be what tells them apart: only light and dark are kept.
        grey[look] = tile.convert("L").point(lambda level: 255 if level > 225 else 0)
    for one, other in combinations(LOOKS, 2):
        assert ImageStat.Stat(ImageChops.difference(grey[one], grey[other])).mean[0] > ALIKE, (one, other)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", SIZES)
def test_every_image_has_its_size_and_fills_it(name: str, size: int) -> None:
    image = pixels(icons.path(name, size))
    assert image.size == (size, size)
    box = image.getbbox()
    assert box is not None
    assert box[2] - box[0] >= 0.9 * size
    assert image.getpixel((0, 0)) == (0, 0, 0, 0)


def test_the_bar_of_down_lies_on_whole_pixels_in_every_tray_size() -> None:
    for size in (16, 20, 22, 24, 28, 36):
        image = pixels(icons.path("down", size))
        column = [image.getpixel((size // 2, y)) for y in range(size)]
        edges = [pair for pair in pairwise(column[size // 4 : -size // 4]) if pair[0] != pair[1]]
        assert edges == [(draw.RED, draw.WHITE), (draw.WHITE, draw.RED)]


@pytest.mark.parametrize("size", [16, 22, 24, 32, 44, 48, 64])
def test_the_links_of_external_and_the_cross_of_failed_have_their_holes_in_every_tray_size(size: int) -> None:
    links = pixels(icons.path("external", size))
    row = [links.crop((x, size // 2, x + 1, size // 2 + 1)).tobytes() for x in range(size // 16, size - size // 16)]
    # From left to right: a link, its hole, the bar, the other's hole, the other link.
    assert [key for key, _ in groupby(colour[0] > 225 for colour in row)][1:-1] == [True, False, True, False, True]
    cross = pixels(icons.path("failed", size))
    middle, arm = size // 2, round(0.39 * size)
    assert {cross.getpixel(place) for place in ((middle, middle), (arm, arm), (size - 1 - arm, arm))} == {draw.WHITE}
    whites = {(x, y) for x in range(size) for y in range(size) if cross.getpixel((x, y)) == draw.WHITE}
    assert whites == {(size - 1 - x, y) for x, y in whites} == {(y, x) for x, y in whites}
    assert cross.getpixel((middle, round(0.25 * size))) == draw.RED


def test_the_nearest_size_that_is_not_smaller_is_given_and_the_largest_at_most() -> None:
    assert [icons.path("up", size).name for size in (1, 16, 17, 37, 256, 999)] == [
        "up-16.png",
        "up-16.png",
        "up-20.png",
        "up-40.png",
        "up-256.png",
        "up-256.png",
    ]
