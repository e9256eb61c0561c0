import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from engine.build import build_features, build_network, network_name, transforms_key
from engine.checkpoints.checkpoint_io import AtomicCheckpointIO
from engine.errors import UserError, WeightsError
from networks.efficientnet_lite import EfficientNetLite
from networks.resnet18 import ResNet18

RESNET = {
    "_target_": "networks.resnet18.ResNet18",
    "num_classes": 2,
    "pretrained": True,
    "substitute": "efficientnet_lite0",
}


def config(**changes: object) -> DictConfig:
    """A config in struct mode, as Hydra's are: unknown keys are refused."""
    cfg = OmegaConf.create({"network": RESNET | changes, "datamodule": {"num_classes": 2}})
    OmegaConf.set_struct(cfg, True)
    return cfg


@pytest.fixture(autouse=True)
def _no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise WeightsError("ResNet-18's weights are nowhere.")

    monkeypatch.setattr("networks.resnet18._imagenet_state", fail)


def test_network_as_asked_for() -> None:
    cfg = config(pretrained=False)
    network = build_network(cfg, None)
    assert isinstance(network, ResNet18)
    assert "substitute_for" not in cfg.network


def test_substitute_takes_its_place_and_the_config_says_so(caplog: pytest.LogCaptureFixture) -> None:
    cfg = config()
    network = build_network(cfg, None)
    assert isinstance(network, EfficientNetLite)
    assert network.head.out_features == 2
    assert cfg.network.substitute_for == "resnet18"
    assert network_name(cfg.network) == "efficientnet_lite0"
    assert "nowhere" in caplog.text


def test_substitutes_config_builds_it_again() -> None:
    cfg = config()
    build_network(cfg, None)
    again = OmegaConf.create(OmegaConf.to_yaml(cfg, resolve=True))
    assert isinstance(build_network(again, None), EfficientNetLite)
    assert again.network.substitute_for == "resnet18"


def test_no_substitute_stops_with_one_sentence() -> None:
    with pytest.raises(UserError, match=r"^ResNet-18's weights are nowhere\. Set network\.substitute=NAME or .*false"):
        build_network(config(substitute=None), None)


def test_other_mistakes_are_not_taken_for_missing_weights() -> None:
    with pytest.raises(InstantiationException, match="num_class"):
        build_network(config(num_class=3), None)


def test_resumed_network_looks_for_no_pretrained_weights(tmp_path: Path) -> None:
    cfg = config()
    assert isinstance(build_network(cfg, tmp_path), ResNet18)
    assert cfg.network.pretrained is True
    assert "substitute_for" not in cfg.network


def test_resumed_network_has_the_frozen_backbone_of_the_run(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = ResNet18(num_classes=2, pretrained=False)
    AtomicCheckpointIO().save_checkpoint(dict(first.backbone.state_dict()), tmp_path / "backbone.ckpt")
    second = build_network(config(), tmp_path)
    assert all(torch.equal(t, second.backbone.state_dict()[name]) for name, t in first.backbone.state_dict().items())


CROP = {"_target_": "torchvision.transforms.v2.CenterCrop", "size": "${datamodule.image_size}"}


def features_config(tmp_path: Path, **datamodule: Any) -> DictConfig:
    settings = {"_target_": "builtins.dict", "cache_dir": str(tmp_path), "precision": 32, "chunk": 3}
    return OmegaConf.create({"features": settings, "datamodule": datamodule, "trainer": {"accelerator": "cpu"}})


def test_a_frozen_backbone_for_a_network_that_has_none(tmp_path: Path) -> None:
    """As by init_from= of a run on features: what differs is reported when the other weights are loaded."""
    AtomicCheckpointIO().save_checkpoint({"w": torch.zeros(1)}, tmp_path / "backbone.ckpt")
    cfg = OmegaConf.create({"network": {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}})
    assert isinstance(build_network(cfg, tmp_path), torch.nn.Linear)


def test_features_get_what_the_config_says_and_the_backbones_key(tmp_path: Path) -> None:
    network = ResNet18(num_classes=2, pretrained=False)
    cfg = features_config(tmp_path, image_size=8, eval_transform=CROP)
    made = build_features(cfg, "photos", network)
    assert made["photos"] == "photos"
    assert made["num_features"] == 512
    assert made["key"] == {**made["backbone"].key, "transforms": transforms_key(cfg.datamodule)}
    assert made["key"]["precision"] == "32"
    json.dumps(dict(made["key"]))  # it is written beside the features: Hydra makes a ListConfig of a list
    assert made["chunk"] == 3
    assert "precision" not in made


def test_features_are_computed_where_the_trainer_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    network, cfg = ResNet18(num_classes=2, pretrained=False), features_config(tmp_path, image_size=8)
    for accelerator, device in (("cpu", "cpu"), ("auto", "cuda"), ("gpu", "cuda")):
        cfg.trainer.accelerator = accelerator
        made = build_features(cfg, "photos", network)
        assert (made["backbone"].device.type, made["key"]["device"]) == (device, device)


def test_the_key_of_the_transforms_is_their_resolved_config_and_their_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(**datamodule: Any) -> str:
        return transforms_key(features_config(tmp_path, **datamodule).datamodule)

    assert key(image_size=8, eval_transform=CROP, seed=0) == key(image_size=8, eval_transform=CROP, seed=1)
    assert key(image_size=8, eval_transform=CROP) != key(image_size=9, eval_transform=CROP)
    assert key(crop=8) != key(crop=9)  # of a datamodule that makes its transforms itself

    monkeypatch.syspath_prepend(tmp_path)
    own = tmp_path / "own_transform.py"
    own.write_text("class Own:\n    pass\n")
    first = key(train_transform={"_target_": "own_transform.Own"})
    own.write_text("class Own:\n    scale = 2\n")
    assert key(train_transform={"_target_": "own_transform.Own"}) != first


def test_network_name() -> None:
    assert network_name(OmegaConf.create({"_target_": "networks.lenet.LeNet"})) == "lenet"
    assert network_name(OmegaConf.create({"_target_": "networks.timm.Timm", "name": "vit"})) == "timm/vit"
    family = {"_target_": "networks.efficientnet_lite.EfficientNetLite", "name": "efficientnet_lite2"}
    assert network_name(OmegaConf.create(family)) == "efficientnet_lite2"
