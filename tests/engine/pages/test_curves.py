import math
from pathlib import Path

import pytest

from engine.pages.curves import at_step_of, charts, read_logged, split_of, steps_of_epochs
from engine.report.drawings import draw_curves


def test_a_runs_own_files(run_dir: Path, tmp_path: Path) -> None:
    """TensorBoard's, and metrics.csv with the same values; what is cut off is left out."""
    curves = read_logged(run_dir).curves
    assert list(curves["val/acc"]) == steps_of_epochs(curves, 3) == [4, 8, 12]
    rows = [f"{step},{name},{value!r}" for name, curve in curves.items() for step, value in curve.items()]
    (tmp_path / "metrics.csv").write_text("\n".join(["step,name,value", *rows, "12,val/ac"]))
    assert read_logged(tmp_path).curves == curves
    (events,) = run_dir.glob("events.out.tfevents.*")
    (tmp_path / "metrics.csv").unlink()
    (tmp_path / events.name).write_bytes(events.read_bytes()[: events.stat().st_size // 2])
    half = read_logged(tmp_path).curves
    assert 0 < len(half) <= len(curves)
    assert all(curve.items() <= curves[name].items() for name, curve in half.items())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("val/acc", ("val", "acc")),
        ("valid_loss", ("val", "loss")),
        ("train/loss/dataloader_idx_0", ("train", "loss/dataloader_idx_0")),
        ("validity", ("", "validity")),
        ("loss", ("", "loss")),
    ],
)
def test_the_split_in_a_name(name: str, expected: tuple[str, str]) -> None:
    assert split_of(name) == expected


def test_what_is_drawn() -> None:
    one = {1: 0.5}
    names = ["train/lr", "train/loss_step", "val/acc", "train/acc", "best/val/acc", "val/acc_a", "val/acc_b"]
    names += ["val/acc_low", "train/loss", "g_loss", "val/$x$"]
    found = charts(dict.fromkeys(names, one) | {"val/never": {1: math.nan}}, ["a", "b"])
    assert {chart.title: list(chart.curves) for chart in found} == {
        "loss": ["train"],
        "acc": ["train", "val"],
        "g_loss": ["g_loss"],
        "$x$": ["val"],
    }
    assert found[0].title == "loss"
    assert draw_curves(found, [1], 1).png.startswith(b"\x89PNG")
    assert draw_curves(found, None, None).png.startswith(b"\x89PNG")


def test_the_metrics_of_the_best_epoch() -> None:
    curves = {"val/loss": {4: 0.5, 8: 0.2, 12: 0.2}, "val/acc": {4: 0.1, 8: 0.7, 12: 0.8}}
    assert at_step_of(curves, "val/loss", 0.2) == {"val/loss": 0.2, "val/acc": 0.7}
    assert at_step_of(curves, "val/loss", 0.3) == at_step_of({}, "val/loss", 0.3) == {}
