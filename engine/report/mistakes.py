"""The report's section on the most confident mistakes."""

import io

from PIL import Image

from engine.pages.markup import Images, paragraph, photos, picture, section, table
from engine.report.facts import Facts
from engine.results.contact_sheet import WHITE, Tile, draw_tiles
from engine.results.outputs import Predictions, example_names, pictures

TITLE, MAX_MISTAKES = "Most confident mistakes", 16
SHOWN = 152  # pixels of a photo's side
RED = (176, 36, 36)


def mistakes_section(facts: Facts, predictions: Predictions, images: Images) -> str:
    """Photos with predicted class, true class and file; a table if there are no photos."""
    found = predictions.mistakes(MAX_MISTAKES)
    if not found:
        return section(TITLE, paragraph("There are none."))
    said = [_said(facts, predictions, position, column) for position, column in found]
    positions = [position for position, _ in found]
    names = example_names(facts.datamodule, predictions.split, positions)
    seen = pictures(facts.datamodule, predictions.split, positions, predictions.targets)
    if not seen:
        rows = [(name, *lines) for name, lines in zip(names, said, strict=True)]
        return section(TITLE, table(["example", "predicted", "true"], rows))
    captions = [(*lines, name) for name, lines in zip(names, said, strict=True)]
    tiles = [Tile(image, lines, RED, WHITE) for image, lines in zip(seen, captions, strict=True)]
    images["mistakes.png"] = _encoded(draw_tiles(tiles, columns=4, size=14), "PNG", compress_level=2)
    shown = [
        (picture(_encoded(image, "JPEG", quality=88), f"{lines[2]}: {lines[0]}", (SHOWN, SHOWN)), lines)
        for image, lines in zip(seen, captions, strict=True)
    ]
    return section(TITLE, photos(shown))


def _said(facts: Facts, predictions: Predictions, position: int, column: int) -> tuple[str, str]:
    """The prediction with its probability, and the truth."""
    probability, classes = float(predictions.outputs[position, column]), facts.classes
    if predictions.kind == "class":
        return f"{classes[column]} {probability:.1%}", f"is {classes[int(predictions.targets[position])]}"
    truth = "applies" if predictions.targets[position, column] else "does not apply"
    return f"{classes[column]} {probability:.1%}", truth


def _encoded(image: Image.Image, kind: str, **settings: int) -> bytes:
    file = io.BytesIO()
    image.convert("RGB").save(file, kind, **settings)
    return file.getvalue()
