import re
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from engine.run.config_file import save_config
from tests.conftest import Compose


@pytest.fixture
def cfg(compose: Compose, tmp_path: Path) -> DictConfig:
    directory = tmp_path / "logs" / "2030"
    directory.mkdir(parents=True)
    return compose("experiment=transfer_finetune", "seed=3", f"datamodule.data_dir={tmp_path}/data", run_dir=directory)


def test_saved_config_is_resolved_but_for_the_directory(cfg: DictConfig, tmp_path: Path) -> None:
    returned = save_config(cfg)
    text = Path(cfg.run_dir, "config.yaml").read_text()
    saved = OmegaConf.create(text)
    assert saved.optimizer.lr == cfg.optimizer.lr
    assert saved.network.num_classes == 2
    assert saved.resume is None
    linked = {line.strip() for line in text.splitlines() if "${" in line}
    assert linked > {"default_root_dir: ${run_dir}", "dirpath: ${run_dir}/checkpoints", "monitor: ${monitor.metric}"}
    resolvers = {line for line in linked if "${" in line and not re.search(r"\$\{[\w.]+\}", line)}
    assert resolvers <= {"run_dir: ${hydra:runtime.output_dir}", "num_workers: ${usable_cores:}"}
    assert returned == OmegaConf.to_container(cfg, resolve=True)
    assert returned["run_dir"] == str(tmp_path / "logs" / "2030")
    assert OmegaConf.is_interpolation(cfg.trainer, "default_root_dir")  # the directory may still be renamed


@pytest.mark.parametrize("name", ["2030", "with space", "it's: so", "a long name " * 10])
def test_saved_config_can_be_moved(name: str, compose: Compose, tmp_path: Path) -> None:
    directory = tmp_path / name.strip()
    directory.mkdir()
    cfg = compose("experiment=transfer_finetune", run_dir=tmp_path)
    cfg.run_dir = str(directory)
    save_config(cfg)
    moved = OmegaConf.load(directory / "config.yaml")
    moved.run_dir = "/elsewhere"
    assert moved.trainer.default_root_dir == "/elsewhere"
    assert moved.callback.best_checkpoint.dirpath == "/elsewhere/checkpoints"


def test_data_dir_is_saved_as_an_absolute_path(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = compose("datamodule.data_dir=here", run_dir=tmp_path)
    save_config(cfg)
    assert OmegaConf.load(tmp_path / "config.yaml").datamodule.data_dir == str(tmp_path / "here")
