"""Foreign modules and data: a training resumed from any of its checkpoints ends like one that did not stop."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torchmetrics
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import (
    BackboneFinetuning,
    BatchSizeFinder,
    EMAWeightAveraging,
    GradientAccumulationScheduler,
    ModelCheckpoint,
    StochasticWeightAveraging,
)
from pytorch_lightning.loggers.logger import DummyLogger
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, Dataset, DistributedSampler, IterableDataset, TensorDataset

from engine.checkpoints.exact_state import ExactState
from engine.checkpoints.last_checkpoint import LastCheckpoint
from engine.training.lightning_internals import swap_averaged_weights

BATCHES = 6
OF_CLASSES = {"task": "multiclass", "num_classes": 3}


class Noisy(Dataset[tuple[Tensor, Tensor]]):
    """Draws from the global generator, in this process or in a worker."""

    def __init__(self, inputs: Tensor, labels: Tensor) -> None:
        self.inputs, self.labels = inputs, labels

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index] + torch.randn(4), self.labels[index]


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    def __init__(self, inputs: Tensor, labels: Tensor) -> None:
        self.inputs, self.labels = inputs, labels

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for index in torch.randperm(len(self.inputs)).tolist():
            yield self.inputs[index], self.labels[index]


def loaders(kind: str) -> tuple[DataLoader[Any], DataLoader[Any]]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(BATCHES * 4, 4, generator=generator)
    pairs = inputs, inputs[:, :3].argmax(1)
    validation = DataLoader(TensorDataset(*pairs), batch_size=8)
    if kind == "stream":
        return DataLoader(Stream(*pairs), batch_size=4), validation
    if kind == "of two processes":
        sampler = DistributedSampler(TensorDataset(*pairs), num_replicas=2, rank=0)
        return DataLoader(TensorDataset(*pairs), batch_size=2, sampler=sampler), validation
    settings: dict[str, Any] = {"generator": {"generator": torch.Generator()}, "workers": {"num_workers": 1}}
    dataset: Dataset[Any] = Noisy(*pairs) if kind in ("noisy", "workers") else TensorDataset(*pairs)
    return DataLoader(dataset, batch_size=4, shuffle=True, **settings.get(kind, {})), validation


class Stranger(LightningModule):
    """Knows nothing of this project: metrics of all kinds, dropout, noise, and weights that a hook changes."""

    def __init__(self, schedule: str, norm: type[nn.Module] = nn.Identity) -> None:
        super().__init__()
        self.schedule = schedule
        self.layers = nn.Sequential(nn.Linear(4, 8), norm(8), nn.Dropout(), nn.Linear(8, 3))
        self.accuracy = torchmetrics.Accuracy(**OF_CLASSES)
        several = {"p": torchmetrics.Precision(**OF_CLASSES), "r": torchmetrics.Recall(**OF_CLASSES)}
        self.several = torchmetrics.MetricCollection({**several, "auroc": torchmetrics.AUROC(**OF_CLASSES)})
        self.validated, self.best = torchmetrics.Accuracy(**OF_CLASSES), torchmetrics.MaxMetric()

    @property
    def backbone(self) -> nn.Module:
        return self.layers[0]

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        outputs = self.layers(batch[0])
        loss = cross_entropy(outputs, batch[1])
        self.accuracy(outputs, batch[1])
        self.log("accuracy", self.accuracy, on_step=True, on_epoch=True)
        self.several.update(outputs, batch[1])
        self.log_dict(self.several, on_step=False, on_epoch=True)
        self.log("loss", loss, on_step=True, on_epoch=True)
        self.log("highest", loss, on_step=False, on_epoch=True, reduce_fx=max)
        self.log("total", loss, on_step=False, on_epoch=True, reduce_fx="sum")
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.layers[0].bias.data.add_(0.01 * torch.randn(8))

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        outputs = self.layers(batch[0] + 0.1 * torch.randn(1))
        self.validated(outputs, batch[1])
        self.log("val_accuracy", self.validated)
        self.log("val_loss", cross_entropy(outputs, batch[1]))

    def on_validation_epoch_end(self) -> None:
        self.best.update(self.validated.compute())
        self.log("val_best", self.best.compute())

    def configure_optimizers(self) -> Any:
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=0.5, momentum=0.5)
        plateau = {"scheduler": ReduceLROnPlateau(optimizer, patience=0, threshold=0.5), "monitor": "val_loss"}
        by_steps = ReduceLROnPlateau(optimizer, patience=1, factor=0.9, threshold=0.5)
        schedules: dict[str, Any] = {
            "plateau": plateau,
            "plateau of every second epoch": {**plateau, "frequency": 2},
            "plateau of the training": {**plateau, "monitor": "loss_epoch"},
            "plateau by steps": {"scheduler": by_steps, "monitor": "loss", "interval": "step"},
            "steps": {"scheduler": ExponentialLR(optimizer, 0.9), "interval": "step"},
            "epochs": {"scheduler": ExponentialLR(optimizer, 0.9)},
        }
        return {"optimizer": optimizer, "lr_scheduler": schedules[self.schedule]}


class Rows(DummyLogger):
    """Keeps what is logged, with its step."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))


class Keep(LastCheckpoint):
    """Saves after each batch of training and of validation, and keeps each checkpoint with the number of rows."""

    def _save(self, trainer: Trainer) -> None:
        super()._save(trainer)
        logger = trainer.logger
        assert isinstance(logger, Rows)
        name = f"{len(list(self.path.parent.iterdir())):03d}-{len(logger.rows)}.ckpt"
        shutil.copy(self.path, self.path.with_name(name))

    def on_validation_batch_end(self, trainer: Trainer, *others: Any, **more: Any) -> None:
        swap_averaged_weights(trainer)
        self._save(trainer)
        swap_averaged_weights(trainer)


def run(folder: Path, kind: str, schedule: str, checkpoint: Path | None, settings: dict[str, Any]) -> dict[str, Any]:
    torch.manual_seed(0)
    logger, settings = Rows(), dict(settings)
    module = Stranger(schedule, settings.pop("norm", nn.Identity))
    others = [make() for make in settings.pop("callbacks", ())]
    keep = Keep(dirpath=str(folder), every_n_epochs=1, min_seconds=0, every_n_train_steps=1)
    fitted = Trainer(
        accelerator="cpu",
        callbacks=[*others, ExactState(), keep],
        logger=logger,
        num_sanity_val_steps=0,
        **{"max_epochs": 3, "log_every_n_steps": 2, **settings},
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    fitted.fit(module, *loaders(kind), ckpt_path=checkpoint, weights_only=True)
    return {
        "weights": {name: value.tolist() for name, value in module.state_dict().items()},
        "schedules": [config.scheduler.state_dict() for config in fitted.lr_scheduler_configs],
        "rows": logger.rows,
        "epoch": (fitted.current_epoch, fitted.global_step),
        "metrics": {name: float(value) for name, value in fitted.callback_metrics.items()},
    }


class Thaw(Callback):
    """Freezes a layer at the start, and not from the second epoch on."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.layers[0].requires_grad_(False).eval()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 1:
            pl_module.layers[0].requires_grad_().train()


averaging = partial(StochasticWeightAveraging, swa_lrs=0.1, swa_epoch_start=1)


@pytest.mark.parametrize(
    ("kind", "schedule", "settings"),
    [
        ("shuffled", "plateau", {}),
        ("generator", "plateau of every second epoch", {"accumulate_grad_batches": 4}),
        ("noisy", "plateau by steps", {"val_check_interval": 0.5}),
        ("workers", "steps", {"max_epochs": 2}),
        ("of two processes", "steps", {}),
        ("shuffled", "steps", {"callbacks": [partial(EMAWeightAveraging, decay=0.5)]}),
        ("shuffled", "epochs", {"callbacks": [averaging]}),
        ("shuffled", "steps", {"callbacks": [Thaw]}),
        ("shuffled", "epochs", {"callbacks": [partial(BackboneFinetuning, 1)]}),
        ("shuffled", "epochs", {"callbacks": [averaging], "norm": nn.BatchNorm1d}),
        ("shuffled", "plateau", {"callbacks": [partial(GradientAccumulationScheduler, {0: 1, 1: 4})]}),
        ("stream", "plateau of the training", {}),
        ("shuffled", "plateau of the training", {"check_val_every_n_epoch": 2, "limit_train_batches": 4}),
        ("shuffled", "steps", {"reload_dataloaders_every_n_epochs": 2, "max_epochs": 5}),
    ],
)
def test_from_every_checkpoint(kind: str, schedule: str, settings: dict[str, Any], tmp_path: Path) -> None:
    straight = run(tmp_path / "straight", kind, schedule, None, settings)
    checkpoints = sorted((tmp_path / "straight").glob("[0-9]*.ckpt"))
    assert len(checkpoints) > 2 * BATCHES
    for checkpoint in [*checkpoints[1 : -1 : 5 if kind == "workers" else 2], checkpoints[-1]]:
        resumed = run(tmp_path / checkpoint.stem, kind, schedule, checkpoint, settings)
        rows = int(checkpoint.stem.partition("-")[2])
        assert resumed.pop("rows") == straight["rows"][rows:], checkpoint.stem
        if not resumed["schedules"]:  # StochasticWeightAveraging's, once no epoch of it is left
            del resumed["schedules"]
        assert resumed == {key: straight[key] for key in resumed}, checkpoint.stem


def test_a_layer_that_was_unfrozen_in_a_run_that_was_stopped_in_two_validations(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"callbacks": [Thaw]}
    straight = run(tmp_path / "straight", "shuffled", "steps", None, settings)
    first = next((tmp_path / "straight").glob("017-*.ckpt"))  # 6 batches, 3 of the validation and the end of an epoch
    run(tmp_path / "first", "shuffled", "steps", first, settings)
    second = min((tmp_path / "first").glob("[0-9]*.ckpt"))
    resumed = run(tmp_path / "second", "shuffled", "steps", second, settings)
    assert (resumed["weights"], resumed["epoch"]) == (straight["weights"], straight["epoch"])


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists")
def test_the_latest_score_of_lightnings_own_checkpoints_is_restored(tmp_path: Path) -> None:
    """Lightning saves it, but does not restore it: another callback's checkpoint would then have none."""
    scores = []
    for checkpoint in (None, tmp_path / "end.ckpt"):
        torch.manual_seed(0)
        saving = ModelCheckpoint(tmp_path / "best", monitor="val_loss")
        settings: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        fitted = Trainer(accelerator="cpu", max_epochs=1, callbacks=[saving, ExactState()], **settings)
        fitted.fit(Stranger("steps"), *loaders("shuffled"), ckpt_path=checkpoint, weights_only=True)
        fitted.save_checkpoint(tmp_path / "end.ckpt")
        scores.append(saving.current_score)
    assert scores[0] is not None
    assert scores[0] == scores[1]


class Sized(LightningDataModule):
    def __init__(self) -> None:
        super().__init__()
        self.batch_size = 4

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(loaders("shuffled")[0].dataset, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return loaders("shuffled")[1]


def test_a_tuner_leaves_the_generators_as_in_plain_lightning(tmp_path: Path) -> None:
    rows = []
    for own in ([], [ExactState()]):
        torch.manual_seed(0)
        logger = Rows()
        fitted = Trainer(
            accelerator="cpu",
            callbacks=[BatchSizeFinder(max_trials=2, steps_per_trial=2), *own],
            logger=logger,
            max_epochs=2,
            log_every_n_steps=2,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        fitted.fit(Stranger("plateau"), Sized())
        rows.append(logger.rows)
    assert rows[0] == rows[1]
