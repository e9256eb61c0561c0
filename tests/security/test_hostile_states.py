"""Checkpoints whose states name places elsewhere, in callbacks of Lightning's own."""

from pathlib import Path

import pytest
import torch

from engine.checkpoints.checkpoint_io import AtomicCheckpointIO, load_checkpoint
from engine.errors import UserError
from tests.conftest import Train, metrics_of

MORE = "+callback.more={_target_: pytorch_lightning.callbacks.ModelCheckpoint, monitor: val/loss, save_top_k: 1}"
SHORT = ("experiment=lenet_nll", "trainer=cpu", "debug=fast", "callback=[plain]")


@pytest.mark.parametrize("scheme", ["", "local://", "file://"])
def test_what_a_state_names_is_not_deleted(scheme: str, train_here: Train, tmp_path: Path) -> None:
    directory = train_here(tmp_path, *SHORT, MORE)
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "thesis.txt").write_text("years of work")
    last = directory / "checkpoints" / "last.ckpt"
    content = load_checkpoint(last)
    (key,) = (key for key in content["callbacks"] if key.startswith("ModelCheckpoint"))
    state = content["callbacks"][key]
    state.pop("dirpath")
    state["best_k_models"] = {f"{scheme}{victim}": torch.tensor(1e9)}
    state["kth_best_model_path"] = state["best_model_path"] = state["last_model_path"] = f"{scheme}{victim}"
    AtomicCheckpointIO().save_checkpoint(content, last)
    train_here(tmp_path, f"resume={directory}", "trainer.max_epochs=2")
    assert (victim / "thesis.txt").read_text() == "years of work"
    assert metrics_of(directory)["epochs"] == 2


def test_a_file_name_made_of_metrics_stays_in_its_folder(tmp_path: Path) -> None:
    io = AtomicCheckpointIO(folders=lambda: [tmp_path / "run"])
    io.save_checkpoint({}, tmp_path / "run" / "checkpoints" / "a.ckpt")
    for path in (tmp_path / "run" / ".." / "b.ckpt", tmp_path / "b.ckpt", Path("/b.ckpt")):
        with pytest.raises(UserError, match="where checkpoints belong"):
            io.save_checkpoint({}, path)
        with pytest.raises(UserError, match="where checkpoints belong"):
            io.remove_checkpoint(path)


@pytest.mark.parametrize("missing", ["procedure", "optimizer_states", "state_dict", "loops"])
def test_a_checkpoint_that_lacks_a_part_is_one_sentence(missing: str, train_here: Train, tmp_path: Path) -> None:
    directory = train_here(tmp_path, *SHORT)
    last = directory / "checkpoints" / "last.ckpt"
    content = load_checkpoint(last)
    del content[missing]
    AtomicCheckpointIO().save_checkpoint(content, last)
    (last.parent / "last.ckpt.prev").unlink(missing_ok=True)
    before = (directory / "config.yaml").read_text()
    with pytest.raises(UserError, match=r"cannot be restored|is refused|lacks"):
        train_here(tmp_path, f"resume={directory}", "trainer.max_epochs=2")
    assert (directory / "config.yaml").read_text() == before
