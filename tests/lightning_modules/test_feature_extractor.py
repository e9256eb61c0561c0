from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningDataModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn

from engine.data.tensor_loader import TensorDataLoader
from lightning_modules.feature_extractor import FeatureExtractor
from networks.pretrained import Pretrained
from tests.noise import PLAIN


class Pictures(LightningDataModule):
    """12 pictures of noise, or their features."""

    classes = ("dark", "bright")

    def __init__(self, inputs: Tensor) -> None:
        super().__init__()
        self.inputs = inputs

    def train_dataloader(self) -> TensorDataLoader:
        return TensorDataLoader(self.inputs, torch.arange(12) % 2, batch_size=4, shuffle=True, seed=0)

    val_dataloader = train_dataloader


@pytest.fixture
def images() -> Tensor:
    return torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def extractor(**changes: Any) -> FeatureExtractor:
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    settings = {
        "network": Pretrained(backbone=backbone, num_features=5, num_classes=2, mean=(0.5,) * 3, std=(0.25,) * 3),
        "loss": nn.CrossEntropyLoss(),
        "optimizer": partial(torch.optim.SGD, lr=0.5),
        **PLAIN,
        "num_classes": 2,
    }
    return FeatureExtractor(**(settings | changes))


def trainer(folder: Path, **changes: Any) -> Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0, "logger": False}
    saved = ModelCheckpoint(folder / "checkpoints", "last", enable_version_counter=False)
    settings: dict[str, Any] = {"accelerator": "cpu", "max_epochs": 3, "callbacks": [saved], **quiet}
    return Trainer(default_root_dir=folder, **(settings | changes))


def copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_init_redraws_the_head_alone() -> None:
    torch.manual_seed(1)
    plain = extractor()
    torch.manual_seed(1)
    drawn = extractor(init="normal")
    assert same(copied(plain.network.backbone), copied(drawn.network.backbone))
    assert not same(copied(plain.network.head), copied(drawn.network.head))


def test_training_changes_the_head_alone(images: Tensor, tmp_path: Path) -> None:
    module = extractor()
    backbone, head = copied(module.network.backbone), copied(module.network.head)
    trainer(tmp_path).fit(module, Pictures(images))
    assert "1.num_batches_tracked" in backbone
    assert same(copied(module.network.backbone), backbone)
    assert not same(copied(module.network.head), head)
    assert all(parameter.grad is None for parameter in module.network.backbone.parameters())


def test_backbone_stays_in_eval_mode() -> None:
    module = extractor().train()
    assert module.training
    assert module.network.head.training
    assert not any(part.training for part in module.network.backbone.modules())


def test_modes_and_gradients_of_all_but_the_backbone_change(images: Tensor) -> None:
    module = extractor(loss=nn.Sequential(nn.Linear(2, 2)))
    module.extra = nn.Parameter(torch.zeros(1))
    trained = [*module.network.head.parameters(), *module.loss.parameters(), module.extra]
    for mode in (True, False, True):
        assert module.train(mode) is module
        parts = [module, module.network, module.network.head, *module.loss.modules(), module.train_metrics]
        assert {part.training for part in parts} == {mode}
        assert not any(part.training for part in module.network.backbone.modules())
        for parameter in trained:
            parameter.grad = torch.ones_like(parameter)
        module.zero_grad()
        assert all(parameter.grad is None for parameter in trained)


def test_optimizer_has_the_head_alone() -> None:
    module = extractor()
    optimizer = module.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert optimizer.param_groups[0]["params"] == [module.network.head.weight, module.network.head.bias]


def test_features_train_the_same_head_as_their_pictures(images: Tensor, tmp_path: Path) -> None:
    plain, cached, other = extractor(), extractor(), extractor()
    with torch.no_grad():
        features = other.eval().network.features(images)
    trainer(tmp_path / "plain").fit(plain, Pictures(images))
    trainer(tmp_path / "cached").fit(cached, Pictures(features))
    for name, tensor in plain.network.head.state_dict().items():
        torch.testing.assert_close(cached.network.head.state_dict()[name], tensor)


def test_checkpoint_leaves_the_backbone_out_and_it_lies_beside(images: Tensor, tmp_path: Path) -> None:
    module = extractor()
    trainer(tmp_path).fit(module, Pictures(images))
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert set(saved["state_dict"]) == {"network.head.weight", "network.head.bias"}
    beside = torch.load(tmp_path / "checkpoints" / "backbone.ckpt", weights_only=True)
    assert same(beside, copied(module.network.backbone))
    assert not list(tmp_path.rglob("*.partial"))


def test_resume_ends_with_the_same_bits(images: Tensor, tmp_path: Path) -> None:
    straight, first, second = extractor(), extractor(), extractor()
    trainer(tmp_path / "straight").fit(straight, Pictures(images))
    trainer(tmp_path / "halted", max_epochs=1).fit(first, Pictures(images))
    second.network.head.weight.data.zero_()
    last = tmp_path / "halted" / "checkpoints" / "last.ckpt"
    with pytest.warns(UserWarning, match="exists and is not empty"):
        trainer(tmp_path / "halted").fit(second, Pictures(images), ckpt_path=last, weights_only=True)
    assert same(copied(second), copied(straight))
