"""Photos with their predictions on one picture."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from engine.errors import UserError

TILE = 160  # pixels a side
LINE = 18  # pixels of a line of text under a tile
MAX_COLUMNS = 10


class ContactSheet:
    """Tiles with the prediction and the file's name under each, in rows; `path`'s suffix says the format.

    Meant for each `every`-th photo of the input. UserError for a suffix of no picture.
    """

    def __init__(self, path: Path, *, every: int) -> None:
        if path.suffix.lower() not in Image.registered_extensions():
            raise UserError(f"contact_sheet={path}: give an image file, .png or .jpg.")
        self.path = path
        self.every = every
        self.tiles: list[tuple[Image.Image, str, str]] = []

    def add(self, photo: Tensor, prediction: str, name: str) -> None:
        """A photo (1 or 3, H, W) uint8 as the network saw it."""
        tile = to_pil_image(photo).convert("RGB").resize((TILE, TILE), Image.Resampling.BILINEAR)
        self.tiles.append((tile, prediction, name))

    def save(self) -> bool:
        """Writes the picture, a square of tiles as far as possible; False where there are none."""
        if not self.tiles:
            return False
        columns = min(MAX_COLUMNS, next(n for n in range(1, len(self.tiles) + 1) if n * n >= len(self.tiles)))
        rows = -(-len(self.tiles) // columns)
        height = TILE + 2 * LINE
        sheet = Image.new("RGB", (columns * TILE, rows * height), "white")
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
        for position, (tile, prediction, name) in enumerate(self.tiles):
            x, y = position % columns * TILE, position // columns * height
            sheet.paste(tile, (x, y))
            for number, text in enumerate((prediction, name)):
                draw.text((x + 4, y + TILE + number * LINE), _fitted(text, font), fill="black", font=font)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(self.path)
        return True


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text, or its end behind an ellipsis where a tile is too narrow for it."""
    if font.getlength(text) <= TILE - 8:
        return text
    while font.getlength(f"…{text}") > TILE - 8:
        text = text[1:]
    return f"…{text}"
