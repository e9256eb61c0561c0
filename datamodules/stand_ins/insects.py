"""Generated images of ants and bees on blurred natural backgrounds, the stand-in for the hymenoptera photos."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

CANVAS = 320
"""Side of the square canvas on which an insect is drawn, centered and head up, before it is scaled down."""

# Grass, leaf, bark, sand, stone, sky, petal.
GROUNDS = (
    (96, 134, 52),
    (56, 92, 44),
    (112, 84, 58),
    (196, 174, 132),
    (140, 138, 132),
    (170, 196, 214),
    (206, 120, 160),
)

Point = tuple[float, float]
Colour = tuple[int, ...]


def draw_insect(insect: str, rng: np.random.Generator) -> Image.Image:
    """An RGB image of one insect ("ants" or "bees"), 200 to 280 pixels wide and 150 to 210 high, drawn with rng."""
    size = (int(rng.integers(200, 281)), int(rng.integers(150, 211)))
    picture = _ground(size, rng)
    body = Image.new("RGBA", (CANVAS, CANVAS))
    {"ants": _draw_ant, "bees": _draw_bee}[insect](ImageDraw.Draw(body, "RGBA"), rng)
    side = int(min(size) * rng.uniform(0.7, 1.15))
    body = body.resize((side, side), Image.Resampling.BILINEAR).rotate(rng.uniform(0, 360), Image.Resampling.BILINEAR)
    place = [int((length - side) / 2 + rng.uniform(-0.12, 0.12) * length) for length in size]
    shadow = Image.new("RGBA", body.size, (0, 0, 0, 0))
    shadow.putalpha(body.getchannel("A").point(lambda alpha: alpha * 2 // 5).filter(ImageFilter.BoxBlur(3)))
    picture.paste(shadow, (place[0] + 3, place[1] + 4), shadow)
    picture.paste(body, (place[0], place[1]), body)
    picture = picture.filter(ImageFilter.BoxBlur(rng.uniform(0, 0.9)))
    noise = rng.normal(0, rng.uniform(1, 7), (size[1], size[0], 1))
    light = rng.uniform(0.75, 1.2)
    return Image.fromarray(np.clip(np.asarray(picture) * light + noise, 0, 255).astype(np.uint8))


def _ground(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """An out-of-focus background: patches of one or two natural colors with a few blades, pebbles and stems."""
    colours = np.array(GROUNDS)[rng.integers(0, len(GROUNDS), 2)]
    mix = rng.random((6, 8, 1))
    patches = colours[0] * mix + colours[1] * (1 - mix) + rng.normal(0, 16, (6, 8, 1)) + rng.normal(0, 5, (6, 8, 3))
    ground = Image.fromarray(np.clip(patches, 0, 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(ground)
    for _ in range(rng.integers(2, 9)):
        x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        colour = _shade(GROUNDS[rng.integers(len(GROUNDS))], rng)
        if rng.random() < 0.5:
            reach = rng.normal(0, 90, 2)
            draw.line([x, y, x + reach[0], y + reach[1]], fill=colour, width=int(rng.integers(2, 12)))
        else:
            _ellipse(draw, (x, y), rng.uniform(4, 30), rng.uniform(4, 30), colour)
    return ground.filter(ImageFilter.BoxBlur(rng.uniform(1, 6)))


def _draw_ant(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """Head, narrow thorax and drop-shaped abdomen, black to reddish brown, six long jointed legs and bent antennae."""
    colour = _shade([(24, 20, 20), (52, 30, 22), (110, 48, 26)][rng.integers(3)], rng)
    middle, girth = CANVAS / 2, rng.uniform(0.85, 1.15)
    for side in (-1, 1):
        for y, knee, foot in ((-14, -48, -86), (4, 2, 6), (20, 52, 100)):
            sway = rng.normal(0, 8, 4)
            points = [(0.0, y), (side * 56 + sway[0], y + knee * 0.7 + sway[1]), (side * 98 + sway[2], foot + sway[3])]
            _limb(draw, points, colour, 6)
        _limb(draw, [(0, -70), (side * 26, -104), (side * 44, -132 + rng.normal(0, 8))], colour, 5)
    _ellipse(draw, (middle, middle - 68), 23 * girth, 25, colour)
    _ellipse(draw, (middle, middle - 10), 13 * girth, 33, colour)
    _ellipse(draw, (middle, middle + 34), 8, 8, colour)
    _ellipse(draw, (middle, middle + 84), 31 * girth, 44, colour)
    _ellipse(draw, (middle - 8, middle + 72), 7, 12, _mixed(colour, (255, 255, 255), 0.3))


def _draw_bee(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """Fat round thorax and striped abdomen, yellow to brown and black, four clear wings and short legs."""
    dark = _shade((34, 26, 20), rng)
    bright = _shade([(226, 168, 34), (190, 122, 40), (214, 186, 96)][rng.integers(3)], rng)
    middle, girth = CANVAS / 2, rng.uniform(0.85, 1.15)
    for side in (-1, 1):
        for y, foot in ((-42, -70), (-22, -12), (0, 40)):
            sway = rng.normal(0, 6, 2)
            _limb(draw, [(0, y), (side * 44, y + sway[0]), (side * 58, foot + sway[1])], dark, 6)
        _limb(draw, [(0, -86), (side * 16, -108), (side * 24, -118)], dark, 4)
    _ellipse(draw, (middle, middle - 78), 25 * girth, 20, dark)
    half = 43 * girth
    top, bottom, stripes = middle - 6, middle + 112, int(rng.integers(5, 8))
    rows = np.arange(top, bottom)
    widths = half * np.sqrt(1 - ((rows - (top + bottom) / 2) / ((bottom - top) / 2 + 1)) ** 2)
    for row, width in zip(rows, widths, strict=True):
        stripe = int((row - top) / (bottom - top) * stripes)
        draw.line([middle - width, row, middle + width, row], fill=dark if stripe % 2 else bright, width=2)
    _ellipse(draw, (middle, middle - 34), 38 * girth, 36, _mixed(bright, dark, 0.4))
    spread = rng.uniform(0.5, 1.2)
    for side in (-1, 1):
        for reach, angle in ((108, spread), (78, spread + 0.5)):
            _wing(draw, side, reach, np.pi / 2 - angle, int(rng.integers(90, 170)))


def _wing(draw: ImageDraw.ImageDraw, side: int, reach: float, angle: float, alpha: int) -> None:
    """A translucent leaf-shaped wing from the thorax, `angle` radians from sideways toward the abdomen."""
    along = np.linspace(0, 1, 13)
    width = 0.24 * reach * np.sin(np.pi * along**0.7)
    out = np.concatenate([along, along[::-1]]) * reach
    across = np.concatenate([width, -width[::-1]])
    x = CANVAS / 2 + side * (12 + out * np.cos(angle) - across * np.sin(angle))
    y = CANVAS / 2 - 34 + out * np.sin(angle) + across * np.cos(angle)
    corners = list(zip(x.tolist(), y.tolist(), strict=True))
    draw.polygon(corners, fill=(226, 230, 236, alpha), outline=(120, 110, 96, 220))


def _limb(draw: ImageDraw.ImageDraw, points: Sequence[Point], colour: Colour, width: int) -> None:
    """A jointed line; points are relative to the canvas's center."""
    placed = [(CANVAS / 2 + x, CANVAS / 2 + y) for x, y in points]
    draw.line(placed, fill=colour, width=width, joint="curve")


def _ellipse(draw: ImageDraw.ImageDraw, middle: Point, half_width: float, half_height: float, colour: Colour) -> None:
    x, y = middle
    draw.ellipse((x - half_width, y - half_height, x + half_width, y + half_height), fill=colour)


def _shade(colour: Colour, rng: np.random.Generator) -> Colour:
    """The color with a little noise."""
    return tuple(int(value) for value in np.clip(np.array(colour) + rng.normal(0, 10, 3), 0, 255))


def _mixed(colour: Colour, other: Colour, share: float) -> Colour:
    return tuple(int(a * (1 - share) + b * share) for a, b in zip(colour, other, strict=True))
