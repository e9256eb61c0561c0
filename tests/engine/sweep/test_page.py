import json
import re
from pathlib import Path
from typing import Any

import pytest

from engine.sweep.page import write_page
from engine.sweep.table import Row, Sweep


def figures(page: str) -> list[list[dict[str, Any]]]:
    """The traces of each plot in the page, as plotly.js gets them."""
    found = []
    for match in re.finditer(r"Plotly\.newPlot\(\s*\"[\w-]+\",\s*", page):
        traces, _ = json.JSONDecoder().raw_decode(page[match.end() :])
        found.append(traces)
    return found


@pytest.fixture
def page(tmp_path: Path) -> str:
    settings: list[dict[str, Any]] = [
        {"optimizer.lr": 10.0 ** -(number % 4), "network": "ab<"[number % 3], "seed": number} for number in range(8)
    ]
    rows = [
        Row(n, s, "", "completed", "val/acc", "max", 0.5 + n / 100, 0.5, 3, 1.0, f"{n:03}")
        for n, s in enumerate(settings)
    ]
    rows.append(Row(8, {"optimizer.lr": 1.0, "network": "a", "seed": 8}, "", "failed", error="killed by SIGKILL"))
    write_page(Sweep(tmp_path, jobs={row.number: row for row in rows}))
    return (tmp_path / "sweep.html").read_text()


def test_metric_against_each_key_and_parallel_coordinates(page: str) -> None:
    scatters, (parallel,) = figures(page)
    assert [trace["type"] for trace in scatters] == ["scatter"] * 3
    assert scatters[1]["x"] == ["a", "b", "<", "a", "b", "<", "a", "b"]
    assert len(scatters[0]["text"]) == 8
    assert scatters[0]["text"][1].startswith("001<br>val/acc 0.51")
    assert parallel["type"] == "parcoords"
    axes = {axis["label"]: axis for axis in parallel["dimensions"]}
    assert list(axes) == ["optimizer.lr", "network", "seed", "best val/acc"]
    assert axes["optimizer.lr"]["ticktext"] == ["0.001", "0.01", "0.1", "1"]
    assert axes["optimizer.lr"]["values"] == pytest.approx([0, -1, -2, -3] * 2)
    assert axes["network"]["ticktext"] == ["<", "a", "b"]
    assert axes["network"]["values"] == [1, 2, 0, 1, 2, 0, 1, 2]
    assert '"type":"log"' in page


def test_it_opens_without_a_network(page: str, tmp_path: Path) -> None:
    sources = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"([^\"]*)\"", page)
    assert sources == ["plotly.min.js"]
    assert (tmp_path / "plotly.min.js").stat().st_size > 1_000_000
    assert len(page) < 200_000


def test_tables_have_every_job_and_text_is_no_markup(page: str) -> None:
    assert page.count('<tr class="completed">') == 8
    assert page.count('<tr class="failed">') == 1
    assert "killed by SIGKILL" in page
    assert "<td>&lt;</td>" in page


def test_nothing_completed(tmp_path: Path) -> None:
    write_page(Sweep(tmp_path, jobs={0: Row(0, {"lr": 1.0}, "", "failed", error="ValueError")}))
    page = (tmp_path / "sweep.html").read_text()
    assert figures(page) == []
    assert "ValueError" in page
