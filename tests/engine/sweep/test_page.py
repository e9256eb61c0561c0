import base64
import html
import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.sweep import page as module
from engine.sweep.page import title, write_page
from engine.sweep.table import Row, Sweep
from tests.browsing import browse
from tests.engine.pages.test_markup import Checked

NAMES = ("<b>x</b>", "[red]", "蜜蜂")


def row(number: int, score: float | None, sweep: Path, **changes: Any) -> Row:
    """A job that lies in the sweep's directory, with its curve."""
    found = Row(number, {"optimizer.lr": 10.0 ** -(number % 3), "network": NAMES[number % 2], "seed": number}, "python")
    found.status, found.metric, found.mode, found.best, found.final = "completed", "val/acc", "max", score, score
    found.epochs, found.seconds, found.directory = 2, 1.0, f"{number:03}_a b"
    folder = sweep / found.directory
    folder.mkdir(parents=True)
    if score is not None:
        (folder / "metrics.csv").write_text(f"step,name,value\n4,val/acc,{score / 2}\n8,val/acc,{score}\n")
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def written(sweep: Sweep) -> str:
    write_page(sweep)
    text = (sweep.directory / "sweep.html").read_text()
    assert len(text) < 1_000_000
    checked = Checked(text)
    assert checked.wrong == []
    assert not checked.tags & {"script", "b", "link"}
    assert not re.findall(r'src="(?!data:)|href="[^"]*:', text), "nothing from outside"
    return text


def tables(page: str) -> list[list[list[str]]]:
    """The text of every cell, by table and row."""
    found = []
    for table in re.findall(r"<table.*?</table>", page, re.DOTALL):
        lines = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
        cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL) for line in lines]
        found.append([[html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in line] for line in cells])
    return found


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    directory = tmp_path / "lenet_nll_sweep" / "now"
    rows = [row(n, 0.5 + n / 100, directory) for n in range(6)]
    rows += [
        row(6, 0.9, directory, status="pruned"),
        row(7, None, directory, status="failed", error="killed by <script>"),
        row(8, None, directory, status="missing", directory=None),
    ]
    return Sweep(directory, ["-m", "optimizer.lr=1,0.1"], "", {found.number: found for found in rows})


def test_jobs_are_ranked_and_linked(sweep: Sweep) -> None:
    (sweep.directory / "003_a b" / "report.html").write_text("")
    page = written(sweep)
    assert "<h1>lenet_nll: optimizer.lr × network × seed, 9 jobs</h1>" in page
    head, *body = tables(page)[0]
    assert head[:3] == ["rank", "job", "status"]
    assert [line[1] for line in body] == [f"00{n}" for n in (5, 4, 3, 2, 1, 0, 6, 7, 8)]
    assert [line[0] for line in body] == ["1", "2", "3", "4", "5", "6", "", "", ""]
    assert [line[2] for line in body[5:]] == ["completed", "pruned", "failed", "missing"]
    assert body[7][-1] == "killed by <script>"
    assert 'href="003_a%20b/report.html"' in page
    assert 'href="004_a%20b/"' in page
    assert page.index("<table") < page.index("<img")
    assert page.count("python report.py run=") == 7, "of each job that has begun and has no report"
    assert "a b/report.html" not in re.sub(r"href=\S+", "", page)


def test_what_is_drawn(sweep: Sweep) -> None:
    page = written(sweep)
    alternatives = re.findall(r'<img alt="([^"]*)"', page)
    assert alternatives == [
        "val/acc by optimizer.lr, network, seed",
        "val/acc of 7 jobs over the training",
        "Expected best val/acc of n jobs",
    ]
    for encoded in re.findall(r"base64,([^\"]+)", page):
        Image.open(io.BytesIO(base64.b64decode(encoded))).verify()
    assert "Dashed: jobs that did not complete." in page
    assert "Dodge et al. 2019" in page


def test_seeds_alone_have_a_mean_and_its_interval(tmp_path: Path) -> None:
    rows = {n: row(n, 0.5 + n / 100, tmp_path, overrides={"seed": n}, source="stand-in") for n in range(4)}
    page = written(Sweep(tmp_path, ["sweep=seeds", "experiment=lenet_nll"], "", rows))
    assert "val/acc 0.515 ± 0.013 (mean and standard deviation over 4 seeds; 95 % interval of the mean" in page
    assert "STAND-IN DATA" in page
    assert "whatever the curve gains is luck" in page
    assert tables(page)[1][1][-1] == "stand-in"


def test_a_lead_is_told_from_chance(tmp_path: Path) -> None:
    def pair(gain: float) -> dict[int, Row]:
        folder = tmp_path / str(gain)
        return {
            n: row(
                n, 0.5 + n // 2 / 100 + (gain + n // 2 / 1000) * (n % 2), folder, overrides={"a": n % 2, "seed": n // 2}
            )
            for n in range(6)
        }

    assert "is unlikely to be chance" in written(Sweep(tmp_path, [], "", pair(0.2)))
    assert "may be chance" in written(Sweep(tmp_path, [], "", pair(0.0)))


@pytest.mark.parametrize(
    "rows", [[], [{"status": "failed", "error": "ValueError", "best": None}] * 3, [{"overrides": {}}]]
)
def test_sweeps_with_little_in_them(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    jobs = {n: row(n, None if "status" in changes else 0.5, tmp_path, **changes) for n, changes in enumerate(rows)}
    page = written(Sweep(tmp_path, ["seed=1"], "", jobs))
    assert ("No job completed." in page) is (not rows or "status" in rows[0])


def test_names_of_all_kinds_and_strange_directories(tmp_path: Path) -> None:
    settings = [{"data.<i>name</i>": name, "seed": seed} for name in (*NAMES, "$a_{b}$", None) for seed in (0, 1)]
    rows = {n: row(n, 0.5 + n / 50, tmp_path, overrides=found) for n, found in enumerate(settings)}
    rows[3].directory = "javascript:alert(1)"
    rows[4].error = rows[4].source = rows[4].command = "<b>x</b>"
    page = written(Sweep(tmp_path, ["experiment=<b>x</b>"], "", rows))
    assert "javascript:" not in "".join(re.findall(r'href="[^"]*"', page))
    assert {cell for line in tables(page)[1] for cell in line} >= {*NAMES, "$a_{b}$", "null"}


def test_three_hundred_jobs(tmp_path: Path) -> None:
    rows = {n: row(n, 0.5 + n % 7 / 100, tmp_path, overrides={"lr": 10.0 ** -(n % 10), "seed": n}) for n in range(300)}
    page = written(Sweep(tmp_path, [], "", rows))
    assert "260 more" in page
    assert sum(len(table) - 1 for table in tables(page)) == 300 + 10, "and the settings"


def test_a_drawing_that_fails_costs_that_drawing(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "draw_lines", lambda *_: 1 / 0)
    page = written(sweep)
    assert "This could not be drawn (ZeroDivisionError: division by zero)." in page
    assert page.count("<img") == 2


def test_titles(tmp_path: Path) -> None:
    jobs = {0: Row(0, {"experiment": "a", "seed": 1}, ""), 1: Row(1, {"experiment": "b", "seed": 1}, "")}
    assert title(Sweep(tmp_path / "experiments_sweep" / "x", [], "", jobs)) == "experiments: experiment × seed, 2 jobs"
    assert (
        title(Sweep(tmp_path, ["experiment=lenet_nll"], "", {0: Row(0, {}, "")})) == "lenet_nll: nothing swept, 1 job"
    )


@pytest.mark.browser
@pytest.mark.parametrize("width", [1500, 420])
def test_in_a_browser(width: int, sweep: Sweep) -> None:
    written(sweep)
    with browse(width=width) as page:
        page.open((sweep.directory / "sweep.html").as_uri())
        page.wait_for("document.images.length === 3")
        assert page.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert page.run("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.run("performance.getEntriesByType('resource').every(entry => entry.name.startsWith('data:'))")
