from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningDataModule, Trainer
from torch import Tensor, nn

from engine.data.tensor_loader import TensorDataLoader
from engine.wording import class_metrics
from lightning_modules.classifier import ClassAccuracy, Classifier
from tests.noise import PLAIN

CLASSES = ["ant", "bee", "wasp"]


class Points(LightningDataModule):
    """13 points in three classes; the wasps are few."""

    classes = CLASSES

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(13, 4, generator=generator)
        self.targets = torch.tensor([0] * 6 + [1] * 5 + [2] * 2)

    def _loader(self) -> TensorDataLoader:
        return TensorDataLoader(self.inputs, self.targets, batch_size=5, shuffle=False, seed=0)

    train_dataloader = val_dataloader = test_dataloader = _loader


def classifier(**changes: Any) -> Classifier:
    torch.manual_seed(0)
    settings = {
        "network": nn.Linear(4, 3),
        "loss": nn.CrossEntropyLoss(),
        "optimizer": partial(torch.optim.SGD, lr=0.0),
        **PLAIN,
        "num_classes": 3,
    }
    return Classifier(**(settings | changes))


@pytest.fixture(scope="module")
def fitted() -> tuple[Classifier, dict[str, Tensor], Points]:
    """With a learning rate of 0, so that an epoch's metrics are those of one network."""
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    trainer = Trainer(accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False, **quiet)
    module, points = classifier(), Points()
    trainer.fit(module, points)
    metrics = dict(trainer.callback_metrics)
    trainer.test(module, points, verbose=False)
    return module, metrics | dict(trainer.callback_metrics), points


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_metrics_are_those_of_the_whole_split(split: str, fitted: tuple[Classifier, dict[str, Tensor], Points]) -> None:
    module, metrics, points = fitted
    with torch.inference_mode():
        logits = module.network(points.inputs)
    right = logits.argmax(1) == points.targets
    assert metrics[f"{split}/acc"] == pytest.approx(right.float().mean().item())
    by_hand = -logits.log_softmax(1)[range(13), points.targets].mean()
    assert metrics[f"{split}/loss"].item() == pytest.approx(by_hand.item(), rel=1e-5)
    for label, name in enumerate(CLASSES):
        if split == "train":
            assert f"train/acc_{name}" not in metrics
        else:
            share = right[points.targets == label].float().mean()
            assert metrics[f"{split}/acc_{name}"] == pytest.approx(share.item())


def test_every_parameter_is_trained() -> None:
    module = classifier()
    optimizer = module.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in module.network.parameters()]


def test_parameter_groups_and_scheduler_come_from_the_settings() -> None:
    step = partial(torch.optim.lr_scheduler.StepLR, step_size=2)
    groups = [{"pattern": "bias", "lr": 0.5}]
    made: Any = classifier(
        param_groups=groups, scheduler={"scheduler": step, "interval": "step"}
    ).configure_optimizers()
    assert [group["lr"] for group in made["optimizer"].param_groups] == [0.5, 0.0]
    assert made["lr_scheduler"]["interval"] == "step"
    assert made["lr_scheduler"]["scheduler"].optimizer is made["optimizer"]


def test_tunables_have_no_default() -> None:
    with pytest.raises(TypeError, match="num_classes"):
        Classifier(network=nn.Linear(4, 3))


def test_a_class_may_be_called_as_an_end_of_an_interval() -> None:
    """FoldAccuracy's own names keep their values, and the tables know which is which."""
    classes = ["low", "high", "std"]
    module = classifier()
    module.trainer = SimpleNamespace(datamodule=SimpleNamespace(classes=classes))
    computed = {f"val/acc_{name}": torch.tensor(0.5) for name in classes} | {"val/acc_": torch.tensor([0.1, 0.2, 0.3])}
    named = {name: round(float(value), 3) for name, value in module.named_metrics(computed).items()}
    assert [named[f"val/acc_{name}"] for name in classes] == [0.5] * 3
    assert class_metrics(named, classes) == {f"val/acc_class_{name}": ("val/acc", name) for name in classes}
    assert [named[f"val/acc_class_{name}"] for name in classes] == [0.1, 0.2, 0.3]


def test_a_metric_that_ends_like_a_class_is_no_classs() -> None:
    names = ["val/top_3", *(f"val/acc_{digit}" for digit in range(10))]
    assert "val/top_3" not in class_metrics(names, list("0123456789"))
    assert len(class_metrics(names, list("0123456789"))) == 10
    assert class_metrics(names, []) == {}


def test_a_class_without_an_example_has_no_accuracy() -> None:
    metric = ClassAccuracy(3, average=None, validate_args=False)
    metric.update(torch.tensor([0, 0, 2, 0]), torch.tensor([0, 0, 0, 0]))
    first, *others = metric.compute().tolist()
    assert first == 0.75
    assert all(value != value for value in others)  # NaN
