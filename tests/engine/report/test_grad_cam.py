"""Where a network looked, against a formula, in the networks that people train, and on a run's page."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.errors import UserError
from engine.report import grad_cam
from engine.report.grad_cam import _last_map, heat_maps
from engine.report.write import report
from networks.efficientnet_lite import EfficientNetLite
from networks.resnet18 import ResNet18
from tests.conftest import Train, metrics_of, run_script
from tests.engine.pages.test_markup import Checked

SHOWN = "red: supported this answer"


class Pooled(nn.Module):
    """Convolution, mean over all positions, linear head: Grad-CAM is the head's weights times the maps (CAM)."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.maps(images).mean((2, 3)))
        return logits


def test_against_the_formula() -> None:
    torch.manual_seed(0)
    network, images, columns = Pooled(), torch.rand(5, 3, 8, 8), [2, 0, 1, 1, 0]
    found = heat_maps(network, network.maps, images, columns)
    with torch.no_grad():
        expected = (network.head.weight[columns][:, :, None, None] * network.maps(images)).sum(1).relu()
    assert found.shape == (5, 8, 8)
    torch.testing.assert_close(found, expected / expected.amax((1, 2), keepdim=True).clamp(min=1e-30))


@pytest.mark.parametrize(
    ("network", "channels", "side"),
    [
        (lambda: ResNet18(num_classes=2, pretrained=False), 512, 3),
        *[
            (lambda name=f"efficientnet_lite{n}": EfficientNetLite(name=name, num_classes=2, pretrained=True), 1280, 3)
            for n in range(3)
        ],
    ],
)
def test_the_last_convolutions_are_found(network: Any, channels: int, side: int) -> None:
    built, images = network().eval(), torch.rand(2, 3, 96, 96)
    layer = _last_map(built, images[:1])
    assert layer is not None
    shapes: list[torch.Size] = []
    hook = layer.register_forward_hook(lambda part, given, output: shapes.append(output.shape))
    maps = heat_maps(built, layer, images, [0, 1])
    hook.remove()
    assert tuple(shapes[0][1:]) == (channels, side, side)
    assert maps.shape == (2, 96, 96)
    assert (maps.amax((1, 2)) <= 1).all()
    assert maps.max() > 0


def test_the_page_shows_it(run_dir: Path, tmp_path: Path) -> None:
    """Of a frozen backbone, whose page was made from cached features, for each mistake."""
    run = Path(shutil.copytree(run_dir, tmp_path / "run"))
    wrong = 12 - round(metrics_of(run)["best/val/acc"] * 12)
    assert wrong, "this test needs a mistake"
    done = run_script("report.py", f"run={run}", "grad_cam=true", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (run / "report.html").read_text()
    assert Checked(text).wrong == []
    assert text.count(SHOWN) == wrong
    assert SHOWN not in report(run).read_text()


def test_grey_images(tmp_path: Path, train_here: Train) -> None:
    run = train_here(tmp_path, "experiment=lenet_nll", "trainer=cpu", "trainer.max_epochs=1")
    assert report(run, grad_cam=True).read_text().count(SHOWN) == 16


def test_what_it_cannot_show_is_one_sentence(
    tmp_path: Path, train_here: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train_here(tmp_path, "experiment=regression_adam", "trainer=cpu", "trainer.max_epochs=1")
    with pytest.raises(UserError, match=r"grad_cam=true: run=.* has no photos, but "):
        report(run, grad_cam=True)
    monkeypatch.setattr(grad_cam, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"grad_cam=true needs captum: pip install -e '\.\[captum\]'\."):
        report(run, grad_cam=True)


def test_a_network_without_maps() -> None:
    assert _last_map(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.rand(1, 3, 2, 2)) is None
