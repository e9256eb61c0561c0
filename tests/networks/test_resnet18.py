import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torchvision.models import ResNet18_Weights, resnet18

from engine.errors import WeightsError
from networks import resnet18 as module
from networks.pretrained import IMAGENET_MEAN, IMAGENET_STD
from networks.resnet18 import ResNet18


def test_random_weights_and_a_new_head() -> None:
    network = ResNet18(num_classes=2, pretrained=False)
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 2)
    assert network.head.weight.shape == (2, 512)
    assert not any(name.startswith("backbone.fc") for name in network.state_dict())
    # torchvision's ResNet-18 has 11,689,512 parameters, of which Linear(512, 1000) takes 513,000.
    assert sum(p.numel() for p in network.backbone.parameters()) == 11_689_512 - 513_000


def test_normalisation_is_that_of_the_weights() -> None:
    preset = ResNet18_Weights.IMAGENET1K_V1.transforms()
    assert list(IMAGENET_MEAN) == preset.mean
    assert list(IMAGENET_STD) == preset.std


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch.hub's folder of checkpoints, empty."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    return folder


def closed(name: str) -> SimpleNamespace:
    """Weights at an address where nobody listens."""
    return SimpleNamespace(IMAGENET1K_V1=SimpleNamespace(url=f"http://127.0.0.1:9/{name}"))


def test_weights_out_of_reach(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ResNet18_Weights", closed("resnet18-f37072fd.pth"))
    with pytest.raises(WeightsError, match=r"not in .*resnet18-f37072fd\.pth; http://127.* failed: .*refused"):
        ResNet18(num_classes=2, pretrained=True)


def test_cached_weights_are_loaded(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    wanted = resnet18()
    torch.save(wanted.state_dict(), hub / "any")
    name = f"resnet18-{hashlib.sha256((hub / 'any').read_bytes()).hexdigest()[:8]}.pth"
    (hub / "any").rename(hub / name)
    monkeypatch.setattr(module, "ResNet18_Weights", closed(name))
    network = ResNet18(num_classes=2, pretrained=True)
    images = torch.rand(2, 3, 64, 64)
    wanted.fc = torch.nn.Identity()
    mean, std = torch.tensor(IMAGENET_MEAN).view(3, 1, 1), torch.tensor(IMAGENET_STD).view(3, 1, 1)
    assert torch.equal(network.eval().features(images), wanted.eval()((images - mean) / std))
