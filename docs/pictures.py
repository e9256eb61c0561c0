"""Takes the README's screenshots of a report and of TensorBoard: `python -m docs.pictures RUN_DIR`; needs Chromium.

The run must be a transfer_feature_extractor run on the real photos.
"""

import argparse
import time
from pathlib import Path

from tests.browsing import Page, browse, tensorboard

HERE = Path(__file__).parent
SETTLE = 5  # seconds until animations end, such as the projector's points


def shoot(page: Page, address: str, name: str, wait_for: str) -> None:
    page.open(address)
    page.wait_for(wait_for)
    time.sleep(SETTLE)
    page.run("deepFind('#data-location').forEach(place => place.remove())")  # a path on this machine
    page.picture(HERE / f"tensorboard_{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    loaded = "deepFind('img').filter(image => image.naturalWidth > 100).length >= 4"
    run = parser.parse_args().run.absolute()
    with browse(1000, 1180) as page:
        page.open((run / "report.html").as_uri())
        page.picture(HERE / "report.png")
    with tensorboard(run) as board, browse(1500, 1400) as page:
        shoot(page, f"{board}#images", "images", loaded)
        page.resize(1500, 900)
        shoot(page, f"{board}#projector", "projector", "deepFind('.numDataPoints').some(n => n.textContent > 0)")


if __name__ == "__main__":
    main()
