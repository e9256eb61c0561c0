import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from engine.checkpoints.checkpoint_io import AtomicCheckpointIO, load_checkpoint
from engine.errors import UserError
from engine.run.trained import load_config, load_trained


def test_weights_are_the_checkpoints_and_the_frozen_backbones(run_dir: Path) -> None:
    saved = load_checkpoint(run_dir / "checkpoints" / "last.ckpt")["state_dict"]
    backbone = load_checkpoint(run_dir / "checkpoints" / "backbone.ckpt")
    trained = load_trained(run_dir, "last")
    network, module = trained.load_network(), trained.load_module()
    assert not network.training
    assert not module.training
    for state in (network.state_dict(), module.network.state_dict()):
        assert len(state) == len(backbone) + 2
        for name in ("head.weight", "head.bias"):
            assert torch.equal(state[name], saved[f"network.{name}"])
        for name, value in backbone.items():
            assert torch.equal(state[f"backbone.{name}"], value)


def test_what_is_known_of_the_data(run_dir: Path) -> None:
    trained = load_trained(run_dir, "best")
    assert trained.data == {
        "name": "hymenoptera",
        "source": "local",
        "classes": ["ants", "bees"],
        "input_shape": [3, 64, 64],
    }
    assert trained.has_features
    assert not load_trained(run_dir, "best", ["cache=false"]).has_features


def test_overrides_change_values(run_dir: Path) -> None:
    overrides = ["datamodule.data_dir=/a b/c", "datamodule.mean=[0.5,0.5,0.5]", "optimizer.lr=1e-3", "monitor.mode=min"]
    config = load_trained(run_dir, "best", overrides).config
    assert config.datamodule.data_dir == "/a b/c"
    assert config.datamodule.mean == [0.5, 0.5, 0.5]
    assert config.optimizer.lr == 0.001
    assert config.monitor.mode == "min"


def test_a_moved_run_knows_where_it_is(run_dir: Path, tmp_path: Path) -> None:
    shutil.copy(run_dir / "config.yaml", tmp_path)
    config = load_config(tmp_path)
    assert config.trainer.default_root_dir == str(tmp_path)
    assert config.callback.best_checkpoint.dirpath == f"{tmp_path}/checkpoints"


def test_mistakes_are_told_in_a_sentence(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no config\.yaml; give the directory of a run"):
        load_trained(tmp_path, "best")
    with pytest.raises(UserError, match=r"^checkpoint=first: choose from best, last\.$"):
        load_trained(run_dir, "first")
    with pytest.raises(UserError, match=r"^datamodule\.colour=1: the run's config\.yaml has no datamodule\.colour\.$"):
        load_trained(run_dir, "best", ["datamodule.colour=1"])
    with pytest.raises(
        UserError, match=r"^datamodule=digits: datamodule is a group of settings; change one of them, such as "
    ):
        load_trained(run_dir, "best", ["datamodule=digits"])
    shutil.copy(run_dir / "config.yaml", tmp_path)
    with pytest.raises(UserError, match=r"has no checkpoints/best\.ckpt: it kept none\.$"):
        load_trained(tmp_path, "best")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"x")
    with pytest.raises(UserError, match=r"has no checkpoints/best\.ckpt: give checkpoint=last\.$"):
        load_trained(tmp_path, "best")
    with pytest.raises(UserError, match=r"last\.ckpt is damaged or missing"):
        load_trained(tmp_path, "last")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"network": {"activation": "x"}}, "got an unexpected keyword argument 'activation'."),
        ({"compile": {"mode": "x"}}, "is of another version, or was modified: RuntimeError: Unrecognized mode=x"),
    ],
)
def test_a_config_of_another_version(change: dict[str, Any], says: str, run_dir: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(run_dir, tmp_path / "run"))
    config = copied / "config.yaml"
    OmegaConf.save(OmegaConf.merge(OmegaConf.load(config), change), config)
    with pytest.raises(UserError, match=re.escape(says)):
        load_trained(copied, "best").load_module()


def test_a_config_that_was_cut_to_nothing(run_dir: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(run_dir, tmp_path / "run"))
    (copied / "config.yaml").write_text("seed: 1\n")
    with pytest.raises(
        UserError, match=r"config\.yaml is not a run's config: it has no lightning_module and no trainer"
    ):
        load_trained(copied, "best")


def test_a_checkpoint_without_the_datas_names(run_dir: Path, tmp_path: Path) -> None:
    shutil.copy(run_dir / "config.yaml", tmp_path)
    content = load_checkpoint(run_dir / "checkpoints" / "best.ckpt")
    del content["hyper_parameters"]["data"]
    AtomicCheckpointIO().save_checkpoint(content, tmp_path / "checkpoints" / "best.ckpt")
    with pytest.raises(UserError, match="do not name its data's classes"):
        _ = load_trained(tmp_path, "best").data


def test_a_checkpoint_that_lacks_weights_is_no_network(run_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(run_dir, tmp_path / "run")
    content = load_checkpoint(run_dir / "checkpoints" / "best.ckpt")
    del content["state_dict"]["network.head.bias"]
    AtomicCheckpointIO().save_checkpoint(content, tmp_path / "run" / "checkpoints" / "best.ckpt")
    trained = load_trained(tmp_path / "run", "best")
    for load in (trained.load_network, trained.load_module):
        with pytest.raises(UserError, match=r"lacks .*head\.bias"):
            load()


def test_a_setting_that_is_text_stays_text(run_dir: Path) -> None:
    assert load_trained(run_dir, "best", ["datamodule.data_dir=123"]).config.datamodule.data_dir == "123"


def test_a_checkpoint_that_was_kept_beside_the_others(run_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(run_dir, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "last.ckpt").rename(tmp_path / "run" / "checkpoints" / "mine.ckpt")
    assert load_trained(tmp_path / "run", "mine").checkpoint == "mine"
    with pytest.raises(UserError, match=r"^checkpoint=\.\./mine: choose from"):
        load_trained(tmp_path / "run", "../mine")
