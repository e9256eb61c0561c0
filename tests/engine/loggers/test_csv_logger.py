import csv
from pathlib import Path

import pytest

from engine.loggers.csv_logger import CSVLogger
from engine.pages.curves import read_logged
from tests.conftest import Train

OF_THE_CLOCK = "train/images_per_second"


def rows(directory: Path) -> list[tuple[int, str, float]]:
    with (directory / "metrics.csv").open(newline="") as file:
        return [(int(row["step"]), row["name"], float(row["value"])) for row in csv.DictReader(file)]


def test_rows_are_added_and_one_header_is_enough(tmp_path: Path) -> None:
    for step in (1, 2):
        logger = CSVLogger(save_dir=str(tmp_path))
        logger.log_metrics({"loss": 0.5 / step, "acc, of all": 1}, step=step)
        logger.save()
        assert len(rows(tmp_path)) == 2 * step, "saved is written"
        logger.finalize("success")
    assert (tmp_path / "metrics.csv").read_text() == (
        'step,name,value\n1,loss,0.5\n1,"acc, of all",1\n2,loss,0.25\n2,"acc, of all",1\n'
    )


def test_nothing_logged_no_file(tmp_path: Path) -> None:
    logger = CSVLogger(save_dir=str(tmp_path))
    logger.log_hyperparams({"lr": 0.1})
    logger.save()
    logger.finalize("success")
    assert not list(tmp_path.iterdir())


def test_a_run_that_goes_on_has_each_row_once(tiny: tuple[str, ...], train_here: Train, tmp_path: Path) -> None:
    """Also after more was written than its checkpoint knows of."""
    settings = (*tiny, "network.pretrained=false", "logger=[tensorboard,csv]")
    straight = train_here(tmp_path, *settings, "trainer.max_epochs=3")
    resumed = train_here(tmp_path, *settings, "trainer.max_epochs=1")
    with (resumed / "metrics.csv").open("a") as file:
        file.write("99,train/loss,0.1\n100,train/lo")
    train_here(tmp_path, f"resume={resumed}", "trainer.max_epochs=3")

    found, expected = ([row for row in rows(run) if row[1] != OF_THE_CLOCK] for run in (resumed, straight))
    assert found == expected
    (straight / "metrics.csv").rename(tmp_path / "metrics.csv")
    events, written_rows = read_logged(straight).curves, rows(tmp_path)
    assert events.keys() == {name for _, name, _ in written_rows}
    for tag in events:
        curve = list(events[tag].items())
        written = [(step, value) for step, name, value in written_rows if name == tag]
        assert [step for step, _ in curve] == [step for step, _ in written], tag
        assert [value for _, value in curve] == pytest.approx([value for _, value in written], rel=1e-6), tag
