"""Takes the README's pictures of a terminal, a report and TensorBoard: `python -m docs.pictures RUN_DIR DATA_DIR`.

It needs Chromium. The run must be a transfer_feature_extractor run on the real photos, which are in DATA_DIR.
"""

import argparse
import io
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tests.browsing import Page, browse, tensorboard

HERE = Path(__file__).parent
SETTLE = 5  # seconds until animations end, such as the projector's points
COLUMNS, WIDTH = 116, 950  # of a terminal, in letters and pixels
COMMAND = "python train.py experiment=transfer_feature_extractor network=efficientnet_lite2 trainer.max_epochs=6"
PAGE = """<body style="margin: 0; background: {background}"><pre style="margin: 16px; color: {foreground};
font: 13px/1.25 'DejaVu Sans Mono', monospace">{code}</pre></body>"""


def screen(data_dir: Path) -> str:
    """What a terminal shows after COMMAND, as an HTML page; it runs twice, in a clone, so that features are cached."""
    command = [sys.executable, *shlex.split(COMMAND)[1:]]
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS)}
    clone = Path(tempfile.gettempdir(), "lightning-experiments")
    subprocess.run(["git", "clone", "--quiet", str(HERE.parent), str(clone)], check=True)
    try:
        (clone / "data").symlink_to(data_dir.absolute())
        for _ in range(2):
            done = subprocess.run(
                command, cwd=clone, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
            )
    finally:
        shutil.rmtree(clone)
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.assemble(("$ ", "bold green"), COMMAND))
    console.print(Text.from_ansi(done.stdout.decode()))
    return console.export_html(theme=MONOKAI, inline_styles=True, code_format=PAGE)


def shoot(page: Page, address: str, name: str, wait_for: str) -> None:
    page.open(address)
    page.wait_for(wait_for)
    time.sleep(SETTLE)
    page.run("deepFind('#data-location').forEach(place => place.remove())")  # a path on this machine
    page.picture(HERE / f"tensorboard_{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("data_dir", type=Path)
    loaded = "deepFind('img').filter(image => image.naturalWidth > 100).length >= 4"
    arguments = parser.parse_args()
    run = arguments.run.absolute()
    with tempfile.TemporaryDirectory() as folder, browse(WIDTH, 100) as page:
        html = Path(folder, "terminal.html")
        html.write_text(screen(arguments.data_dir), encoding="utf-8")
        page.open(html.as_uri())
        page.resize(WIDTH, int(page.run("document.documentElement.scrollHeight")))
        page.picture(HERE / "terminal.png")
    with browse(1000, 1180) as page:
        page.open((run / "report.html").as_uri())
        page.picture(HERE / "report.png")
    with tensorboard(run) as board, browse(1500, 1400) as page:
        shoot(page, f"{board}#images", "images", loaded)
        page.resize(1500, 900)
        shoot(page, f"{board}#projector", "projector", "deepFind('.numDataPoints').some(n => n.textContent > 0)")


if __name__ == "__main__":
    main()
