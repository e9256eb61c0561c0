"""Steps without autograd leave what steps with it leave, to the bit."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningDataModule, Trainer
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR

from engine.data.tensor_loader import TensorDataLoader
from engine.training import procedure
from engine.training.steps.linear_steps import linear_step
from lightning_modules.feature_extractor import FeatureExtractor
from networks.pretrained import Pretrained
from tests.noise import PLAIN

SIZE, WIDTH, CLASSES = 45, 257, 3  # the last of the batches of four holds one example


class Numbers(LightningDataModule):
    """Features of noise, handed out in chunks."""

    classes, chunk = ("a", "b", "c"), 5

    def train_dataloader(self) -> TensorDataLoader:
        generator = torch.Generator().manual_seed(0)
        features = torch.rand(SIZE, WIDTH, generator=generator)
        labels = torch.randint(CLASSES, (SIZE,), generator=generator)
        return TensorDataLoader(features, labels, batch_size=4, shuffle=True, seed=0, chunk=self.chunk)

    val_dataloader = train_dataloader


def trained(folder: Path, **changes: Any) -> dict[str, Any]:
    """Weights, gradients, losses, the optimizer's state and the generator's after three epochs."""
    torch.manual_seed(0)
    network = Pretrained(
        backbone=nn.Flatten(), num_features=WIDTH, num_classes=CLASSES, mean=(0.5,) * 3, std=(0.25,) * 3
    )
    settings = {
        "network": network,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": partial(torch.optim.SGD, lr=0.1, momentum=0.9, fused=True),
        **PLAIN,
        "num_classes": CLASSES,
    }
    module = FeatureExtractor(**(settings | changes))
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    quiet |= {"enable_checkpointing": False, "limit_val_batches": 0}  # a validation would remove the gradients
    trainer = Trainer(default_root_dir=folder, accelerator="cpu", max_epochs=3, **quiet)
    trainer.fit(module, Numbers())
    head = network.head
    optimizer: Any = module.optimizers(use_pl_optimizer=False)
    buffers = [values.get("momentum_buffer") for values in optimizer.state_dict()["state"].values()]
    return {
        "weights": [head.weight.detach(), head.bias.detach()],
        "gradients": [head.weight.grad, head.bias.grad],
        "losses": module.losses,
        "buffers": [buffer for buffer in buffers if buffer is not None],
        "accuracy": [trainer.callback_metrics["train/acc"], trainer.callback_metrics["train/loss"]],
        "drawn": [torch.get_rng_state()],
    }


SETTINGS: dict[str, dict[str, Any]] = {
    "momentum": {},
    "plain": {"optimizer": partial(torch.optim.SGD, lr=0.1, fused=True)},
    "nesterov": {"optimizer": partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, fused=True)},
    "decay": {"optimizer": partial(torch.optim.SGD, lr=0.1, momentum=0.5, dampening=0.1, weight_decay=0.1, fused=True)},
    "schedule": {
        "scheduler": {"interval": "step", "monitor": None, "scheduler": partial(StepLR, step_size=7, gamma=0.5)}
    },
    "class weights": {"loss": nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5]))},
    "sum": {"loss": nn.CrossEntropyLoss(reduction="sum")},
}
OTHERS: dict[str, dict[str, Any]] = {
    "smoothing": {"loss": nn.CrossEntropyLoss(label_smoothing=0.1)},
    "not fused": {"optimizer": partial(torch.optim.SGD, lr=0.1)},
    "Adam": {"optimizer": partial(torch.optim.Adam, lr=0.1, fused=True)},
    "another loss": {"loss": nn.MultiMarginLoss()},
}


def noted(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether a step was made, each time that a procedure asks for one."""
    made: list[bool] = []

    def note(*parts: Any) -> Any:
        made.append((step := linear_step(*parts)) is not None)
        return step

    monkeypatch.setattr(procedure, "linear_step", note)
    return made


@pytest.mark.parametrize("changes", SETTINGS.values(), ids=SETTINGS.keys())
def test_same_bits_as_autograd(changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = noted(monkeypatch)
    directly = trained(tmp_path, **changes)
    assert sum(made) == 9  # the first chunk tries once more, after the optimizer's first step
    monkeypatch.setattr(procedure, "linear_step", lambda *_: None)
    plainly = trained(tmp_path, **changes)
    for name, values in plainly.items():
        assert values if name != "buffers" else len(values) == len(directly["buffers"])
        assert all(map(torch.equal, values, directly[name])), name


@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS.keys())
def test_others_go_through_autograd(changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = noted(monkeypatch)
    trained(tmp_path, **changes)
    assert made
    assert not any(made)


def _steps_of(layer: nn.Linear, inputs: Tensor, loss: nn.Module) -> bool:
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, fused=True)
    return linear_step(layer, loss, optimizer, (inputs, torch.zeros(2, dtype=torch.long))) is not None


def test_what_looks_inside_a_step_or_is_no_linear_layer_alone_is_left_to_autograd() -> None:
    layer, inputs, loss = nn.Linear(4, 3), torch.rand(2, 4), nn.CrossEntropyLoss()
    assert _steps_of(layer, inputs, loss)
    assert not _steps_of(layer, torch.rand(2, 3, 4, 4), loss)
    assert not _steps_of(nn.Linear(4, 3, bias=False), inputs, loss)
    assert not _steps_of(nn.Linear(4, 3, dtype=torch.bfloat16), inputs, loss)
    with torch.autocast("cpu"):
        assert not _steps_of(layer, inputs, loss)
    for hook in (
        layer.register_forward_hook(lambda *_: None),
        loss.register_forward_pre_hook(lambda *_: None),
        layer.weight.register_hook(lambda gradient: gradient),
        nn.modules.module.register_module_forward_hook(lambda *_: None),
    ):
        assert not _steps_of(layer, inputs, loss)
        hook.remove()
    assert _steps_of(layer, inputs, loss)
    layer.bias.requires_grad_(False)
    assert not _steps_of(layer, inputs, loss)


def test_a_class_that_computes_another_loss_has_no_linear_layer() -> None:
    class Other(FeatureExtractor):
        def compared(self, predictions: Tensor, targets: Tensor) -> Tensor:
            return super().compared(predictions, targets) * 2

    network = Pretrained(backbone=nn.Flatten(), num_features=4, num_classes=2, mean=(0.5,) * 3, std=(0.25,) * 3)
    settings = {"network": network, "loss": nn.CrossEntropyLoss(), "optimizer": partial(torch.optim.SGD, lr=0.1)}
    assert FeatureExtractor(**settings, **PLAIN, num_classes=2).linear_layer() is network.head
    assert Other(**settings, **PLAIN, num_classes=2).linear_layer() is None
