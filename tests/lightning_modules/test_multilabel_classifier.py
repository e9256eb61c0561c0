from functools import partial
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningDataModule, Trainer
from sklearn.metrics import average_precision_score, f1_score
from torch import Tensor, nn

from engine.data.tensor_loader import TensorDataLoader
from lightning_modules.multilabel_classifier import MultilabelClassifier

LABELS = ["flies", "swims", "runs"]


class Points(LightningDataModule):
    """40 points with three labels, some of which are unsure."""

    classes = LABELS

    def __init__(self) -> None:
        super().__init__()
        self.inputs = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
        self.targets = torch.rand(40, 3, generator=torch.Generator().manual_seed(1))

    def _loader(self) -> TensorDataLoader:
        return TensorDataLoader(self.inputs, self.targets, batch_size=7, shuffle=False, seed=0)

    train_dataloader = val_dataloader = test_dataloader = _loader


@pytest.fixture(scope="module")
def fitted() -> tuple[MultilabelClassifier, dict[str, Tensor], Points]:
    """With a learning rate of 0, so that an epoch's metrics are those of one network."""
    torch.manual_seed(0)
    module = MultilabelClassifier(
        num_classes=3,
        network=nn.Linear(4, 3),
        loss=nn.BCEWithLogitsLoss(),
        optimizer=partial(torch.optim.SGD, lr=0.0),
        scheduler={"scheduler": None, "interval": "epoch"},
        init=None,
        param_groups=None,
        freeze_batchnorm=False,
        channels_last=False,
        compile=False,
        seed=0,
    )
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    trainer = Trainer(accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, **quiet)
    points = Points()
    trainer.fit(module, points)
    metrics = dict(trainer.callback_metrics)
    trainer.test(module, points, verbose=False)
    return module, metrics | dict(trainer.callback_metrics), points


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_metrics_are_those_of_the_whole_split(
    split: str, fitted: tuple[MultilabelClassifier, dict[str, Tensor], Points]
) -> None:
    module, metrics, points = fitted
    with torch.no_grad():
        probabilities = module.network(points.inputs).sigmoid()
    predicted, true = (probabilities > 0.5).int().numpy(), (points.targets > 0.5).int().numpy()
    expected = {
        "loss": nn.BCELoss()(probabilities, points.targets).item(),  # of the targets as they are
        "acc": (predicted == true).mean(),
        "f1": f1_score(true, predicted, average="macro"),
    }
    if split != "train":
        expected["map"] = average_precision_score(true, probabilities.numpy(), average="macro")
        for column, label in enumerate(LABELS):
            expected[f"acc_{label}"] = (predicted == true)[:, column].mean()
            expected[f"f1_{label}"] = f1_score(true[:, column], predicted[:, column])
    logged = {name.removeprefix(f"{split}/"): value.item() for name, value in metrics.items() if name.startswith(split)}
    assert logged == pytest.approx(expected, rel=1e-5)
