from pathlib import Path

import torch

from engine.checkpoints.best_checkpoint import Checkpoint


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
