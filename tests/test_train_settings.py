"""Groups and overrides that change how a run goes, in this process."""

import json
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.pages.curves import read_logged
from tests.conftest import Train, metrics_of, only_run

SMALL = ("network=timm", "network.name=test_resnet", "network.pretrained=false")


def test_early_stopping(tiny: tuple[str, ...], train_here: Train, tmp_path: Path) -> None:
    """A learning rate of 0 improves nothing: the first validation, and `patience` more."""
    stopping = ("callback=[default,early_stopping]", "callback.early_stopping.patience=2", "optimizer.lr=0")
    directory = train_here(tmp_path, *tiny, *SMALL, *stopping, "trainer.max_epochs=20")
    assert metrics_of(directory)["epochs"] == 3


@pytest.mark.parametrize(
    ("setting", "kept"),
    [
        ("+trainer.enable_progress_bar=false", {"best.ckpt", "last.ckpt"}),
        ("+trainer.enable_checkpointing=false", set()),
        ("+callback.rich={_target_:pytorch_lightning.callbacks.RichProgressBar}", {"best.ckpt", "last.ckpt"}),
    ],
)
def test_a_switch_of_the_trainer_does_what_it_says(
    setting: str,
    kept: set[str],
    tiny: tuple[str, ...],
    train_here: Train,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    directory = train_here(tmp_path, *tiny, *SMALL, setting)
    assert metrics_of(directory)["status"] == "completed"
    assert {path.name for path in directory.rglob("*.ckpt") if path.name != "backbone.ckpt"} == kept
    shown = capsys.readouterr().out
    assert ("none: no checkpoint was kept" in shown) is not bool(kept)
    assert ("resume=" in shown) is bool(kept)


def test_debug_overfit(tiny: tuple[str, ...], train_here: Train, tmp_path: Path) -> None:
    """With one learning rate, and BatchNorm's statistics moving, as a network of random weights needs it."""
    learning = ("optimizer=adam", "optimizer.lr=0.005", "scheduler=constant", "lightning_module.param_groups=null")
    settings = ("experiment=transfer_finetune", "debug=overfit", *learning, "trainer.max_epochs=20")
    settings = (*settings, "lightning_module.freeze_batchnorm=false")
    directory = train_here(tmp_path, *tiny, *SMALL, *settings)
    losses = read_logged(directory).curves["train/loss"]
    assert list(losses) == list(range(2, 42, 2))
    assert losses[40] < 0.2 * losses[2]


def test_debug_profile(tiny: tuple[str, ...], train_here: Train, tmp_path: Path) -> None:
    directory = train_here(tmp_path, *tiny, *SMALL, "debug=profile")
    assert "run_training_epoch" in (directory / "fit-profile.txt").read_text()
    assert metrics_of(directory)["epochs"] == 3


@pytest.mark.parametrize("experiment", ["transfer_feature_extractor", "transfer_finetune"])
def test_bf16(experiment: str, tiny: tuple[str, ...], train_here: Train, tmp_path: Path) -> None:
    settings = (f"experiment={experiment}", "trainer.precision=bf16-mixed", "trainer.max_epochs=1")
    directory = train_here(tmp_path, *tiny, *SMALL, *settings)
    assert 0 < metrics_of(directory)["train/loss"] < 2


def test_any_timm_network_with_a_fixed_size(tiny: tuple[str, ...], train_here: Train, tmp_path: Path) -> None:
    network = ("network=timm", "network.name=test_vit", "network.pretrained=false", "trainer.max_epochs=1")
    assert metrics_of(train_here(tmp_path, *tiny, *network))["network"] == {
        "name": "timm/test_vit",
        "substitute_for": None,
    }


def test_photos_of_ones_own(data_dir: Path, tiny: tuple[str, ...], train_here: Train, tmp_path: Path) -> None:
    own = ("datamodule=image_folder", f"datamodule.data_dir={data_dir}/hymenoptera_data/train", "trainer.max_epochs=1")
    directory = train_here(tmp_path, *tiny, *SMALL, *own)
    assert metrics_of(directory)["data"] == {"name": "train", "source": "local"}


def test_as_many_views_as_epochs_are_the_plain_path(tiny: tuple[str, ...], train_here: Train, tmp_path: Path) -> None:
    """Up to rounding: BatchNorm is folded into the convolutions that run ahead."""
    shared = (*tiny, *SMALL, "seed=3", "optimizer.lr=0.1", "trainer.max_epochs=3")
    views = ("features.augmentation_views=null", "features.view_seed=3", "features.precision=32")
    ahead, plain = (
        metrics_of(train_here(tmp_path, *shared, *views)),
        metrics_of(train_here(tmp_path, *shared, "cache=false")),
    )
    for name in ("val/loss", "train/loss", "val/acc", "train/acc", "best/epoch"):
        assert ahead[name] == pytest.approx(plain[name], rel=1e-3), name


def test_a_run_that_diverges_stops_at_its_step_and_keeps_the_best(
    tiny: tuple[str, ...], train_here: Train, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"The training loss is (nan|inf) at step \d+, .* give a smaller optimizer\.lr"):
        train_here(tmp_path, *tiny, *SMALL, "optimizer.lr=1e38", "trainer.max_epochs=2")
    content = (only_run(tmp_path) / "metrics.json").read_text()
    metrics = json.loads(content, parse_constant=lambda name: pytest.fail(name))
    assert metrics["status"] == "failed"
    assert "The training loss is" in metrics["error"]


def test_sweep_keeps_every_run(tiny: tuple[str, ...], train_here: Train, tmp_path: Path) -> None:
    """Side by side as jobs on cached features come, or one after the other: the figures are the same."""
    figures = []
    for name, n_jobs in (("side by side", "null"), ("one by one", "1")):
        folder = tmp_path / name
        folder.mkdir()
        settings = (*tiny, *SMALL, "trainer.max_epochs=2", f"features.cache_dir={tmp_path}/cache")
        train_here(folder, "-m", *settings, "seed=0,1", f"hydra.launcher.n_jobs={n_jobs}")
        directories = sorted(path.parent for path in folder.rglob("metrics.json"))
        assert len({path.parent for path in directories}) == 1
        figures.append([metrics_of(directory) for directory in directories])
        assert [metrics["seed"] for metrics in figures[-1]] == [0, 1]
    for name in ("val/loss", "train/loss", "best/val/acc"):
        assert [metrics[name] for metrics in figures[0]] == [metrics[name] for metrics in figures[1]], name
