from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.tensorflow_stub import pywrap_tensorflow

from engine.checkpoints.continuation import Curves, curve_sizes, open_behind
from engine.loggers.curve_files import name_of, tag_of
from engine.loggers.tensorboard_logger import TensorBoardLogger, checksum_in_c
from engine.pages.curves import read_logged

METRICS = {"val/loss": 0.5, "val/acc": 0.75, "val/acc_bees": 1.0, "val/acc_low": 0.5, "train/lr": 0.1, "epoch": 3}
ODD = {"best/val/acc": 0.75, "train_loss": 1.0, "val/": 2.0, "loss": 3.0, "train/lr_1": 0.1, "test/acc": 0.5}


@pytest.mark.parametrize("apart", [True, False])
def test_every_metric_is_read_back_by_its_name(apart: bool, tmp_path: Path) -> None:
    logger = TensorBoardLogger(save_dir=str(tmp_path), apart=apart)
    logger.log_hyperparams({"lr": 0.1})
    logger.log_metrics(METRICS | ODD, step=7)
    logger.save()
    logger.finalize("success")
    expected = {name: {7: value} for name, value in (METRICS | ODD).items() if name != "epoch"}
    found = read_logged(tmp_path).curves
    assert found == {name: pytest.approx(curve) for name, curve in expected.items()}
    assert read_logged(tmp_path, only="val/acc").curves == {"val/acc": {7: 0.75}}
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == ({"test", "val"} if apart else set())
    assert not list(tmp_path.rglob("*.yaml"))


def tags(directory: Path) -> list[str]:
    return sorted(EventAccumulator(str(directory)).Reload().Tags()["scalars"])


def test_training_and_validation_are_one_tag_of_two_runs(tmp_path: Path) -> None:
    logger = TensorBoardLogger(save_dir=str(tmp_path), apart=True)
    for split in ("train", "val"):
        logger.log_metrics({f"{split}/loss": 0.5, f"{split}/acc": 0.5, f"{split}/acc_ants": 0.5}, step=1)
    logger.finalize("success")
    assert tags(tmp_path / "train") == tags(tmp_path / "val") == ["curves/acc", "curves/loss", "details/acc_ants"]
    assert tags(tmp_path) == []


def test_curves_come_before_all_else(tmp_path: Path) -> None:
    """TensorBoard sorts the groups of its landing tab by name."""
    names = ["train/lr", "train/loss_step", "val/loss", "val/acc", "val/acc_ants", "best/val/acc", "first_batch"]
    for apart in (True, False):
        shown = sorted(tag_of(name, names, apart)[1] for name in names)
        assert shown[0].startswith("curves/")
        assert shown[1].startswith("curves/")
        for name in names:
            assert name_of(*tag_of(name, names, apart)) == name


def test_a_run_that_goes_on_cuts_back_and_opens_behind_in_each_run(tmp_path: Path) -> None:
    first = TensorBoardLogger(save_dir=str(tmp_path), apart=True)
    first.log_metrics({"val/loss": 1.0}, step=1)
    first.save()
    sizes = curve_sizes(tmp_path)
    first.log_metrics({"val/loss": 9.0, "train/loss": 9.0}, step=2)
    first.finalize("success")
    for file in tmp_path.rglob("events.out.tfevents.*"):  # the clock goes back a day
        stamp = file.name.split(".")[3]
        file.rename(file.with_name(file.name.replace(stamp, later := str(int(stamp) + 86400), 1)))
    sizes = {name.replace(stamp, later): size for name, size in sizes.items()}
    Curves(tmp_path, sizes)
    second = TensorBoardLogger(save_dir=str(tmp_path), apart=True)
    open_behind([second])
    second.log_metrics({"val/loss": 2.0, "train/loss": 3.0}, step=2)
    second.finalize("success")
    assert read_logged(tmp_path).curves == {"val/loss": {1: 1.0, 2: 2.0}, "train/loss": {2: 3.0}}
    for run in ("", "val"):
        old, new = sorted((tmp_path / run).glob("events.out.tfevents.*"))
        assert later in old.name
        assert int(new.name.split(".")[3]) > int(later)


def test_checksums_are_those_of_the_format() -> None:
    """CRC-32C: the usual check value, and 32 bytes of zeros (RFC 3720, B.4)."""
    checksum_in_c()
    assert pywrap_tensorflow.crc32c(b"123456789") == 0xE3069283
    assert pywrap_tensorflow.crc32c(bytes(32)) == 0x8A9136AA


def test_a_failed_write_is_raised_and_not_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    logger = TensorBoardLogger(save_dir=str(tmp_path), apart=False)
    logger.log_metrics({"val/loss": 0.5}, step=1)
    logger.save()
    (file,) = tmp_path.glob("events.*")
    file.unlink()
    file.mkdir()  # what cannot be written to, by root either
    logger.log_metrics({"val/loss": 0.25}, step=2)
    with pytest.raises(OSError, match="directory"):
        logger.finalize("success")
    assert capfd.readouterr().err == ""
