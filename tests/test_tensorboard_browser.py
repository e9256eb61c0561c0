"""What a person sees of an ordinary run who opens TensorBoard in a browser.

Where there is no Chromium, `make test` leaves this out and says so; `make test-browser` fails then.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.browsing import Page, browse, tensorboard
from tests.conftest import metrics_of

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
    """JavaScript: all of these are to be read on the page."""
    return " && ".join(f"deepText().includes({text!r})" for text in texts)


def test_scalars(page: Page, board: str) -> None:
    page.open(f"{board}#scalars")
    page.wait_for(has("train/loss", "train/acc", "train/lr", "train/grad_norm", "train/images_per_second"))
    page.wait_for("deepFind('vz-line-chart2').length > 5 && deepFind('.tick-label').length > 50")


def test_time_series(page: Page, board: str) -> None:
    page.open(f"{board}#timeseries")
    page.wait_for("deepFind('tb-truncated-path').map(path => path.textContent).includes('best/val/acc')")


def test_custom_scalars(page: Page, board: str) -> None:
    """Training and validation are in one chart."""
    page.open(f"{board}#custom_scalars")
    page.wait_for(has("training and validation", "each class", "optimization"))
    curves = "deepElements(card.shadowRoot).filter(e => e.matches('.match-list-entry')).map(e => e.textContent).join()"
    for first, second in (("train/loss", "val/loss"), ("val/acc_ants", "val/acc_bees")):
        both = f"text.includes('{first} (.)') && text.includes('{second} (.)')"
        cards = "deepFind('tf-custom-scalar-multi-line-chart-card')"
        page.wait_for(f"{cards}.map(card => {curves}).some(text => {both})")


def test_images(page: Page, board: str) -> None:
    page.open(f"{board}#images")
    page.wait_for(has("first_batch", "val/predictions", "val/confusion"))
    page.wait_for("deepFind('img').filter(image => image.complete && image.naturalWidth > 100).length >= 3")


def test_hparams(page: Page, board: str, run_dir: Path) -> None:
    page.open(f"{board}#hparams")
    best = metrics_of(run_dir)["best/val/acc"]
    page.wait_for(has("Hymenoptera", "ResNet18", "optimizer.lr", "best/val/acc", f"{best:#.5g}"))


def test_projector(page: Page, board: str, tmp_path: Path) -> None:
    page.open(f"{board}#projector")
    page.wait_for("deepFind('.numDataPoints').some(element => element.textContent === '12')")
    page.wait_for("deepFind('.dim').some(element => element.textContent === '512')")
    page.wait_for(has("predicted", "prediction"))
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
