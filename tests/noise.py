"""A classifier small enough to be trained in a moment, on noise."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor, nn

from datamodules.in_memory import InMemory, Split
from lightning_modules.classifier import Classifier

SIZE, BATCH = 42, 4  # 11 steps an epoch

# A procedure's settings, but for what it trains and how.
PLAIN: dict[str, Any] = {
    "scheduler": {"scheduler": None, "interval": "epoch"},
    "init": None,
    "param_groups": None,
    "channels_last": False,
    "freeze_batchnorm": False,
    "compile": False,
    "seed": 0,
}


class Noise(InMemory):
    """Images of noise, 8 × 8, in three classes that differ in brightness."""

    name, source = "noise", "local"

    def load(self) -> dict[str, Split]:
        self.classes = ["a", "b", "c"]
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(SIZE) % 3
        images = torch.randint(0, 86, (SIZE, 3, 8, 8), generator=generator) + 85 * labels.view(-1, 1, 1, 1)
        split = images.to(torch.uint8), labels
        return {"train": split, "val": split}


def noise(chunk: int) -> Noise:
    return Noise(
        num_classes=3,
        flip="random",
        translate=1,
        cutout=0,
        mean=[0.5] * 3,
        std=[0.5] * 3,
        batch_size=BATCH,
        eval_batch_size=8,
        drop_last=False,
        chunk=chunk,
        seed=0,
    )


def classifier(cls: type[Classifier] = Classifier, **settings: Any) -> Classifier:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3))
    network.append(nn.Linear(4 * 36, 3))
    defaults = {
        "network": network,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": partial(torch.optim.SGD, lr=0.05, momentum=0.9, fused=True),
        **PLAIN,
        "num_classes": 3,
    }
    return cls(**{**defaults, **settings})


def trainer(folder: Path | None = None, **settings: Any) -> Trainer:
    defaults = {
        "accelerator": "cpu",
        "max_epochs": 2,
        "logger": CSVLogger(folder, "", "") if folder else False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": any(isinstance(c, Checkpoint) for c in settings.get("callbacks", [])),
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 5,
    }
    return Trainer(**{**defaults, **settings})


def fit(chunk: int, module: Classifier | None = None, **settings: Any) -> tuple[Trainer, dict[str, Tensor]]:
    fitted, module = trainer(**settings), module or classifier()
    fitted.fit(module, datamodule=noise(chunk))
    return fitted, module.state_dict()


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)
