import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from engine.pages import lettering
from engine.pages.lettering import fitted, lettered


def drawn(text: str, font: lettering.Font) -> bytes:
    image = Image.new("L", (400, 40))
    ImageDraw.Draw(image).text((2, 2), text, fill=255, font=font)
    return np.asarray(image).tobytes()


@pytest.mark.parametrize("names", [("guêpe", "guepe"), ("Ärger", "Arger"), ("пчела", "муравей"), ("蜜蜂", "蚂蚁")])
def test_names_in_any_letters_can_be_told_apart(names: tuple[str, str]) -> None:
    first, second = (drawn(*lettered(name, 16)) for name in names)
    assert first != second
    default = ImageFont.load_default(16)
    assert drawn("□" * len(names[0]), default) != first


def test_what_no_font_has_is_written_as_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "_fonts", lambda: ("nowhere.ttf",))
    text, font = lettered("a 蜜蜂", 12)
    assert text == "a <871C><8702>"
    assert isinstance(font, ImageFont.FreeTypeFont)


def test_ascii_stays_in_pillows_font() -> None:
    text, font = lettered("ants 97%", 12)
    assert text == "ants 97%"
    assert font.getlength(text) == ImageFont.load_default(12).getlength(text)


def test_a_text_that_is_too_long_keeps_its_start_and_end() -> None:
    assert fitted("short.jpg", 12, 150)[0] == "short.jpg"
    cut, font = fitted(f"IMG{'x' * 100}_17.jpg", 12, 150)
    assert cut.startswith("IMG")
    assert cut.endswith("_17.jpg")
    assert "…" in cut
    assert font.getlength(cut) <= 150
