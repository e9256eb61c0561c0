from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from engine.errors import UserError
from engine.features import openvino_engine
from engine.features.frozen import FrozenBackbone
from networks.efficientnet_lite import EfficientNetLite
from networks.resnet18 import ResNet18
from networks.timm import Timm

is_absent = not openvino_engine.is_installed()
needs_openvino = pytest.mark.skipif(is_absent, reason="the extra openvino is not installed")

PACKAGED = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
OF_TIMM = ("mobilenetv3_small_050", "regnetx_002", "resnet10t")


def network_of(name: str) -> Any:
    torch.manual_seed(0)
    if name in PACKAGED:
        return EfficientNetLite(name=name, num_classes=2, pretrained=True)
    if name == "resnet18":
        return ResNet18(num_classes=2, pretrained=False)
    return Timm(name=name, num_classes=2, image_size=64, pretrained=False)


@pytest.fixture
def images() -> Tensor:
    """Seven, so that the last request is not full."""
    return torch.rand(7, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@needs_openvino
@pytest.mark.parametrize("name", [*PACKAGED, "resnet18", *OF_TIMM])
def test_as_close_as_torch(name: str, images: Tensor, tmp_path: Path) -> None:
    network = network_of(name).eval()
    with torch.inference_mode():
        expected = network.features(images)
    got = FrozenBackbone(network, "32", engine="openvino", cache_dir=tmp_path)(images)
    assert float((got - expected).abs().max()) <= 1e-4 * max(1.0, float(expected.abs().max()))
    if FrozenBackbone(network, "auto").precision == "bf16":
        ours, torchs = (
            FrozenBackbone(network, "bf16", engine=engine, cache_dir=tmp_path)(images)
            for engine in ("openvino", "torch")
        )
        distance, allowed = (1 - cosine_similarity(features, expected).mean() for features in (ours, torchs))
        assert float(distance) <= 1.5 * float(allowed) + 1e-4


@needs_openvino
def test_a_feature_does_not_depend_on_the_others(images: Tensor, tmp_path: Path) -> None:
    backbone = FrozenBackbone(network_of("resnet18"), "32", engine="openvino", cache_dir=tmp_path)
    assert torch.equal(backbone(images)[5:6], backbone(images[5:6]))


@needs_openvino
def test_converted_once_and_damage_is_told(images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of("resnet18")
    first = FrozenBackbone(network, "32", engine="openvino", cache_dir=tmp_path)(images)
    monkeypatch.setattr(openvino_engine.OpenVino, "_convert", None)
    assert torch.equal(FrozenBackbone(network, "32", engine="openvino", cache_dir=tmp_path)(images), first)
    (folder,) = tmp_path.glob("*.openvino")
    content = bytearray((folder / "model.bin").read_bytes())
    content[5] ^= 1
    (folder / "model.bin").write_bytes(content)
    with pytest.raises(UserError, match="is damaged: remove it"):
        FrozenBackbone(network, "32", engine="openvino", cache_dir=tmp_path)(images)


def test_the_key_tells_the_engines_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.features.frozen.engine_key", lambda: "openvino 1")
    network = network_of("resnet18")
    keys = [FrozenBackbone(network, "32", engine=engine).key for engine in ("torch", "openvino")]
    assert keys[0] != keys[1]
    assert "engine" not in keys[0], "features of earlier versions are found again"


def test_without_the_extra_a_trained_run_is_read_by_torch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, images: Tensor, tmp_path: Path
) -> None:
    monkeypatch.setattr(openvino_engine, "is_installed", lambda: False)
    assert openvino_engine.engine_at_hand({"engine": "openvino"}) == "torch"
    assert "pip install" in caplog.text
    with pytest.raises(UserError, match="needs the extra openvino"):
        FrozenBackbone(network_of("resnet18"), "32", engine="openvino", cache_dir=tmp_path)(images)
