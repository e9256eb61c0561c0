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
GRAD_CAM = (
    "Beside each photo: a Grad-CAM heat map of what supported the network's answer, from blue (nothing) to red (most)."
)


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
    shown = list(zip(seen, captions, strict=True))
    if facts.grad_cam is not None:
        heat = facts.grad_cam(positions, [column for _, column in found])
        over = [
            (image, (*lines[:1], "red: supported this answer", *lines[2:]))
            for image, lines in zip(heat, captions, strict=True)
        ]
        shown = [tile for pair in zip(shown, over, strict=True) for tile in pair]
    tiles = [Tile(image, lines, RED, WHITE) for image, lines in shown]
    images["mistakes.png"] = _encoded(draw_tiles(tiles, columns=4, size=14), "PNG", compress_level=2)
    told = paragraph(GRAD_CAM, "faint") if facts.grad_cam is not None else ""
    figures = [
        (picture(_encoded(image, "JPEG", quality=88), f"{lines[2]}: {lines[0]}", (SHOWN, SHOWN)), lines)
        for image, lines in shown
    ]
    return section(TITLE, told, photos(figures))


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
