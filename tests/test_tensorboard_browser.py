"""What a person sees of an ordinary run who opens TensorBoard in a browser.

Where there is no Chromium, `make test` leaves this out and says so; `make test-browser` fails then.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.browsing import Page, browse, tensorboard

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browse() as page:
        yield page


@pytest.fixture(scope="module")
def board(run_dir: Path) -> Iterator[str]:
    with tensorboard(run_dir) as address:
        yield address


def has(*texts: str) -> str:
    """JavaScript: all of these texts are on the page."""
    return " && ".join(f"deepText().includes({text!r})" for text in texts)


def test_landing(page: Page, board: str) -> None:
    """Training and validation come first, as two runs in one chart; no tab is empty."""
    page.open(board)
    page.wait_for("deepFind('scalar-card').length >= 2")
    page.wait_for("deepFind('tb-truncated-path').map(path => path.textContent).includes('curves/acc')")
    titles = page.run("deepFind('card-view tb-truncated-path').map(path => path.textContent)")
    assert titles[:2] == ["curves/acc", "curves/loss"]
    page.wait_for("deepFind('scalar-card')[0].textContent.includes('train')")
    page.wait_for("deepFind('scalar-card')[0].textContent.includes('val')")
    tabs = page.run("deepFind('[role=tab]').map(tab => tab.textContent.trim().toLowerCase())")
    assert not {"custom scalars", "hparams", "histograms"} & {tab for tab in tabs if page.run(is_shown(tab))}


def is_shown(tab: str) -> str:
    """JavaScript: a tab of this name is visible."""
    found = f"deepFind('[role=tab]').filter(tab => tab.textContent.trim().toLowerCase() === {tab!r})"
    return f"{found}.some(tab => tab.offsetWidth > 0 && getComputedStyle(tab).display !== 'none')"


def test_scalars(page: Page, board: str) -> None:
    page.open(f"{board}#scalars")
    page.wait_for(has("curves/loss", "curves/acc", "details/acc_ants", "result", "train"))
    page.wait_for("deepFind('vz-line-chart2').length > 3 && deepFind('.tick-label').length > 30")


def test_images(page: Page, board: str) -> None:
    page.open(f"{board}#images")
    page.wait_for(has("first_batch", "val/predictions", "val/confusion"))
    page.wait_for("deepFind('img').filter(image => image.complete && image.naturalWidth > 100).length >= 3")


def test_projector(page: Page, board: str, tmp_path: Path) -> None:
    page.open(f"{board}#projector")
    page.wait_for("deepFind('.numDataPoints').some(element => element.textContent === '12')")
    page.wait_for("deepFind('.dim').some(element => element.textContent === '512')")
    page.wait_for(has("label", "predicted", "wrong"))
    page.wait_for("deepFind('canvas').some(canvas => canvas.width > 400)")
    page.picture(tmp_path / "points.png")
    with Image.open(tmp_path / "points.png") as picture:
        middle = picture.convert("RGB").crop((350, 150, 1050, 850))
    assert len(middle.getcolors(1 << 20) or ()) > 100, "there are photos in it"


def test_graphs(page: Page, board: str) -> None:
    page.open(f"{board}#graphs")
    page.wait_for("deepFind('g.node').map(node => node.textContent).join().includes('network')")


def test_pr_curves(page: Page, board: str) -> None:
    page.open(f"{board}#pr_curves")
    page.wait_for(has("val/pr_ants", "val/pr_bees"))


def test_text(page: Page, board: str) -> None:
    page.open(f"{board}#text")
    page.wait_for(has('"seed": 5', "Started with", "trainer.max_epochs=3", "--config-name config"))
