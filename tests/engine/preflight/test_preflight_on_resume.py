"""Mistakes in a resume command are reported like any others, and leave the run unchanged."""

from pathlib import Path

import pytest

from engine.errors import UserError
from tests.conftest import Train, only_run


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.max_epochs=ten", r"trainer\.max_epochs=ten: must be a whole number"),
        ("trainer.limit_val_batches=1e-9", r"trainer\.limit_val_batches=1e-09 leaves none of the val split's batches"),
    ],
    ids=["found in the config", "found once loggers have opened their files"],
)
def test_a_resumed_runs_mistakes_do_not_touch_its_record(
    override: str, message: str, run_dir: Path, train_here: Train
) -> None:
    before = {path: path.read_bytes() for path in run_dir.rglob("*.*") if path.is_file()}
    assert {"config.yaml", "metrics.json", "last.ckpt"} <= {path.name for path in before}
    with pytest.raises(UserError, match=message):
        train_here(run_dir.parents[2], f"resume={run_dir}", "trainer.max_epochs=4", override)
    assert {path: path.read_bytes() for path in run_dir.rglob("*.*") if path.is_file()} == before


def test_a_checkpoint_of_another_architecture(tiny: tuple[str, ...], train_here: Train, tmp_path: Path) -> None:
    settings = ("experiment=lenet_nll", "trainer=cpu", "debug=fast")
    directory = train_here(tmp_path, *settings)
    with pytest.raises(UserError, match=r"network: .*last\.ckpt has another architecture: ") as caught:
        train_here(tmp_path, f"resume={directory}", "network.in_channels=3")
    assert "conv1.weight is (6, 1, 5, 5) in the checkpoint and (6, 3, 5, 5) in the network" in str(caught.value)
    assert only_run(tmp_path) == directory
