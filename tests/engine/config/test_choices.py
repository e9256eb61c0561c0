from pathlib import Path

import pytest
from omegaconf import OmegaConf

from engine.config.choices import with_choices
from engine.errors import UserError
from tests.conftest import Train, metrics_of

RUN = {
    "trainer": {"max_epochs": 3, "accelerator": "gpu", "strategy": "ddp"},
    "logger": {"csv": {}},
    "optimizer": {"lr": 1},
}


def test_a_choice_makes_room_and_the_trainer_keeps_its_settings() -> None:
    config = OmegaConf.create(RUN)
    overrides = ["seed=1", "logger=tensorboard", "trainer=cpu", "trainer.max_epochs=9", "+callback=lookahead"]
    rewritten = with_choices(config, overrides, None)
    assert rewritten == [
        '++trainer.accelerator="cpu"',
        "++trainer.devices=1",
        "++trainer.num_nodes=1",
        '++trainer.strategy="auto"',
        "seed=1",
        "+logger@logger=tensorboard",
        "trainer.max_epochs=9",
        "+callback=lookahead",
    ]
    assert config == {name: RUN[name] for name in ("trainer", "optimizer")}
    again = OmegaConf.create(RUN)  # as in a process that Lightning starts
    assert with_choices(again, rewritten, None) == rewritten
    assert again == config


def test_a_trainer_in_a_config_dir(tmp_path: Path) -> None:
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer" / "mine.yaml").write_text("defaults: [ddp, _self_]\ndevices: 3\n")
    rewritten = with_choices(OmegaConf.create(RUN), ["trainer=mine"], str(tmp_path))
    assert {'++trainer.strategy="ddp"', "++trainer.devices=3"} <= set(rewritten)
    with pytest.raises(UserError, match=r"trainer=mini: there is no mini in trainer; did you mean mine\?"):
        with_choices(OmegaConf.create(RUN), ["trainer=mini"], str(tmp_path))


def test_another_experiment() -> None:
    with pytest.raises(UserError, match="experiment=lenet_mse: a resumed run keeps its experiment"):
        with_choices(OmegaConf.create(RUN), ["experiment=lenet_mse"], None)


def test_a_run_goes_on_with_other_groups(train_here: Train, tmp_path: Path) -> None:
    directory = train_here(
        tmp_path, "experiment=lenet_nll", "trainer=cpu", "callback=[plain]", "logger=null", "trainer.max_epochs=1"
    )
    assert not list(directory.glob("events*"))
    other = ("logger=csv", "trainer=cpu", "callback=[plain,early_stopping]", "scheduler=constant")
    train_here(tmp_path, f"resume={directory}", *other, "trainer.max_epochs=2")
    config = OmegaConf.load(directory / "config.yaml")
    assert list(config.logger) == ["csv"]
    assert "early_stopping" in config.callback
    assert (config.trainer.accelerator, config.trainer.max_epochs) == ("cpu", 2)
    assert (directory / "metrics.csv").is_file()
    assert metrics_of(directory)["epochs"] == 2
    with pytest.raises(UserError, match=r"optimizer\._target_=torch\.optim\.Adam: the run in .* keeps it"):
        train_here(tmp_path, f"resume={directory}", "optimizer=adam", "trainer.max_epochs=3")
