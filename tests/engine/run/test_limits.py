"""Limits that leave nothing to train, validate or test on: one sentence, before the first step."""

from pathlib import Path

import pytest

from engine.errors import UserError
from tests.conftest import Train

DIGITS = ("experiment=lenet_nll", "trainer=cpu", "trainer.max_epochs=1")  # 315 training batches, 1 of val, 2 of test


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            "trainer.limit_train_batches=0.001",
            "limit_train_batches=0.001 leaves none of the train split's batches, of which there are 315: give at least "
            "0.004, or a whole number of batches.",
        ),
        ("trainer.limit_val_batches=0.5", "limit_val_batches=0.5 leaves none of the val split's batches, of which"),
        ("trainer.limit_test_batches=0.4", "limit_test_batches=0.4 leaves none of the test split's batches, of which"),
        ("trainer.overfit_batches=0.5", "overfit_batches=0.5 leaves none of the val split's batches, of which there"),
        (
            "trainer.val_check_interval=400",
            "val_check_interval=400 is more than the 315 batches of an epoch: give at most 315, or add "
            "trainer.check_val_every_n_epoch=null",
        ),
        ("trainer.val_check_interval=4 trainer.limit_train_batches=3", "is more than the 3 batches of an epoch"),
        ("trainer.val_check_interval=40 trainer.limit_train_batches=0.1", "is more than the 31 batches of an epoch"),
    ],
)
def test_is_one_sentence(overrides: str, says: str, train_here: Train, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        train_here(tmp_path, *DIGITS, *overrides.split())
    assert f"{caught.value}".startswith("trainer.")
    assert says in str(caught.value)
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize(
    "overrides",
    [
        "trainer.val_check_interval=20 trainer.check_val_every_n_epoch=null trainer.limit_train_batches=15",
        "trainer.limit_test_batches=0.5 trainer.limit_train_batches=0.01",
        "trainer.val_check_interval=00:00:00:01 trainer.limit_train_batches=20",
    ],
)
def test_what_leaves_something_trains(overrides: str, train_here: Train, tmp_path: Path) -> None:
    directory = train_here(tmp_path, *DIGITS, *overrides.split())
    assert (directory / "checkpoints" / "last.ckpt").is_file()
