from pathlib import Path

import torch

from engine.checkpoints.best_checkpoint import BEST, Checkpoint, roll_back
from engine.checkpoints.checkpoint_io import AtomicCheckpointIO, load_checkpoint, name_also, previous


def test_best_is_remembered_after_the_directory_was_moved(tmp_path: Path) -> None:
    before = Checkpoint(dirpath=tmp_path / "old", filename="best", monitor="val/acc", mode="max")
    before.best_model_path = before.kth_best_model_path = str(tmp_path / "old" / "best.ckpt")
    before.best_model_score = torch.tensor(0.9)
    before.best_k_models = {before.best_model_path: before.best_model_score}
    after = Checkpoint(dirpath=tmp_path / "new", filename="best", monitor="val/acc", mode="max")
    after.load_state_dict(before.state_dict())
    assert after.best_model_path == str(tmp_path / "new" / "best.ckpt")
    assert after.best_k_models == {after.best_model_path: torch.tensor(0.9)}
    assert after.best_model_score == 0.9


def test_a_best_from_a_future_that_never_came_is_rolled_back(tmp_path: Path) -> None:
    """Of steps 1 to 5 last.ckpt has 2, and the best of that time has a second name."""
    io, best = AtomicCheckpointIO(), tmp_path / BEST
    io.save_checkpoint({"global_step": 1}, best)
    io.save_checkpoint({"global_step": 2}, best)
    io.save_checkpoint({"global_step": 2}, tmp_path / "last.ckpt")
    roll_back(tmp_path, 2, str(best))
    assert load_checkpoint(best)["global_step"] == 2
    for step in (3, 4, 5):
        io.save_checkpoint({"global_step": step}, best)
    roll_back(tmp_path, 5, str(best))
    assert load_checkpoint(best)["global_step"] == 5
    roll_back(tmp_path, 2, str(best))
    assert load_checkpoint(best)["global_step"] == 2
    io.save_checkpoint({"global_step": 3}, best)
    assert load_checkpoint(previous(best))["global_step"] == 2


def test_a_best_of_a_name_of_its_own(tmp_path: Path) -> None:
    io, best = AtomicCheckpointIO(), tmp_path / BEST
    for step in (1, 2):
        io.save_checkpoint({"global_step": step}, tmp_path / f"epoch_{step}.ckpt")
    name_also(tmp_path / "epoch_2.ckpt", best)
    roll_back(tmp_path, 1, str(tmp_path / "epoch_1.ckpt"))
    assert load_checkpoint(best)["global_step"] == 1
    roll_back(tmp_path, 0, "")
    assert not best.exists()
