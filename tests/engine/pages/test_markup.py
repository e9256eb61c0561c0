from html.parser import HTMLParser

from engine.pages.markup import (
    Cell,
    Link,
    Numeric,
    command_lines,
    document,
    matrix,
    paragraph,
    photos,
    picture,
    section,
    table,
)

HOSTILE = '<b>x</b> & "q" \x1b[31m [red] 蜜蜂'
VOID = {"meta", "img", "br"}


class Checked(HTMLParser):
    """Notes all text, and every tag that is not closed in its place."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)
        self.close()
        self.wrong += self.open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_every_text_is_shown_and_none_acts() -> None:
    body = "".join(
        (
            paragraph(HOSTILE),
            table([HOSTILE, "n"], [[HOSTILE, Numeric(HOSTILE)]], HOSTILE),
            matrix(HOSTILE, [HOSTILE], [[Cell(HOSTILE, HOSTILE, 0.9)]], HOSTILE),
            photos([(picture(b"png", HOSTILE, (1, 1)), [HOSTILE, HOSTILE])]),
            command_lines([(HOSTILE, HOSTILE)]),
            table(["link"], [[Link(HOSTILE, "javascript:alert(1)")]]),
        )
    )
    page = Checked(document(HOSTILE, section(HOSTILE, body)))
    assert page.wrong == []
    assert not page.tags & {"b", "script"}
    assert page.texts.count('<b>x</b> & "q" \\x1b[31m [red] 蜜蜂') == 18


def test_a_section_without_content_is_left_out() -> None:
    assert section("Curves", "", table(["a"], []), photos([])) == ""
