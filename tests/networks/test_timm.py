from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from engine.errors import WeightsError
from networks import timm as module
from networks.timm import Timm


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "test_convnext", "test_vit", "test_resnet"])
def test_random_weights_and_a_new_head(name: str) -> None:
    """mobilenetv3's pooled features go through a layer that num_features does not count."""
    network = Timm(name=name, num_classes=3, image_size=64, pretrained=False).eval()
    assert network.features(torch.rand(2, 3, 64, 64)).shape == (2, network.head.in_features)
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 3)


def test_normalisation_is_the_models_own() -> None:
    network = Timm(name="test_vit", num_classes=3, image_size=64, pretrained=False)
    config = timm.get_pretrained_cfg("test_vit")
    assert network.mean.flatten().tolist() == pytest.approx(list(config.mean))
    assert network.std.flatten().tolist() == pytest.approx(list(config.std))


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"timm has no network named resnet_of_mine; similar names: .*resnet"):
        Timm(name="resnet_of_mine", num_classes=3, image_size=64, pretrained=False)


def test_model_without_weights() -> None:
    name = next(
        name for name in timm.list_models("test_*") + timm.list_models("vit_*") if not timm.is_model_pretrained(name)
    )
    with pytest.raises(WeightsError, match=f"no pretrained weights for {name}: set network.pretrained=false"):
        Timm(name=name, num_classes=3, image_size=64, pretrained=True)


def test_weights_out_of_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module.huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(module.huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        WeightsError, match=r"weights for test_resnet are not cached; http://127.0.0.1:9 is unreachable: .*refused"
    ):
        Timm(name="test_resnet", num_classes=3, image_size=64, pretrained=True)


def test_cached_weights_are_loaded_without_a_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.manual_seed(1)
    wanted = timm.create_model("test_resnet").eval()
    file = tmp_path / "model.safetensors"
    safetensors.torch.save_file(wanted.state_dict(), file)
    asked: list[tuple[str, ...]] = []

    def look(*names: str) -> str:
        asked.append(names)
        return str(file)

    monkeypatch.setattr(module.huggingface_hub, "try_to_load_from_cache", look)
    network = Timm(name="test_resnet", num_classes=3, image_size=64, pretrained=True).eval()
    images = torch.rand(2, 3, 64, 64)
    wanted.reset_classifier(0)
    with torch.inference_mode():
        torch.testing.assert_close(network.features(images), wanted((images - network.mean) / network.std))
    assert asked == [(timm.get_pretrained_cfg("test_resnet").hf_hub_id, "model.safetensors")]
