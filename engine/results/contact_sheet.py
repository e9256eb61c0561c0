"""Draws photos with captions on one picture."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from engine.errors import UserError
from engine.files import replacing
from engine.pages.lettering import fitted

TILE = 160  # pixels per side
MAX_COLUMNS = 10
SIZE = 12  # of the letters on a contact sheet
Colour = tuple[int, int, int]
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


class Tile(NamedTuple):
    """A photo, scaled to TILE × TILE, its caption's lines, and the background color."""

    photo: Image.Image
    lines: Sequence[str]
    background: Colour = WHITE
    ink: Colour = BLACK


def scaled(photo: Tensor) -> Image.Image:
    """Converts a photo (1 or 3, H, W), uint8 or floats in [0, 1], to a picture of TILE × TILE pixels."""
    if photo.is_floating_point():
        photo = (photo.clamp(0, 1) * 255).round().byte()
    return to_pil_image(photo).convert("RGB").resize((TILE, TILE), Image.Resampling.BILINEAR)


def line_height(size: int) -> int:
    """The height of a line in pixels for this font size."""
    return 3 * size // 2


def draw_tiles(tiles: Sequence[Tile], *, columns: int, size: int) -> Image.Image:
    """Draws the tiles in rows of `columns`, with captions in `size` points."""
    line = line_height(size)
    height = TILE + line * max(len(tile.lines) for tile in tiles)
    sheet = Image.new("RGB", (min(columns, len(tiles)) * TILE, -(-len(tiles) // columns) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for position, tile in enumerate(tiles):
        x, y = position % columns * TILE, position // columns * height
        sheet.paste(tile.photo, (x, y))
        draw.rectangle((x, y + TILE, x + TILE - 1, y + height - 1), fill=tile.background)
        for number, text in enumerate(tile.lines):
            text, font = fitted(text, size, TILE - 8)
            draw.text((x + 4, y + TILE + number * line), text, fill=tile.ink, font=font)
    return sheet


class ContactSheet:
    """Photos with predictions and file names below them, in rows; the suffix of `path` sets the format.

    Meant for each `every`-th photo of the input. UserError for a suffix of no picture.
    """

    def __init__(self, path: Path, *, every: int) -> None:
        self.format = Image.registered_extensions().get(path.suffix.lower())
        if self.format is None or not _can_be_written(self.format):
            raise UserError(f"contact_sheet={path}: give an image file, .png or .jpg.")
        self.path = path
        self.every = every
        self.tiles: list[Tile] = []

    def add(self, photo: Tensor, prediction: str, name: str) -> None:
        """A photo (1 or 3, H, W) uint8 as the network saw it."""
        self.tiles.append(Tile(scaled(photo), (prediction, name)))

    def save(self) -> bool:
        """Writes the picture, as square as possible; returns False if there are no photos."""
        if not self.tiles:
            return False
        columns = min(MAX_COLUMNS, next(n for n in range(1, len(self.tiles) + 1) if n * n >= len(self.tiles)))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as file:
            draw_tiles(self.tiles, columns=columns, size=SIZE).save(file, self.format)
        return True


def _can_be_written(format: str) -> bool:
    """Whether Pillow writes it: some formats can only be read, and of others it has the name alone (HDF5)."""
    try:
        Image.new("RGB", (8, 8)).save(io.BytesIO(), format)
    except Exception:  # plug-ins raise nearly anything
        return False
    return True
