import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

from engine.errors import UserError
from engine.results.preprocessing import describe, input_shape, normalization, photo_transform
from engine.run.trained import Trained, load_trained
from networks.efficientnet_lite import EfficientNetLite


def trained(shape: list[int] | None, **datamodule: object) -> Trained:
    config = OmegaConf.create({"datamodule": datamodule})
    data = {"name": "mine", "classes": ["a", "b"], "input_shape": shape}
    return Trained(Path("run"), config, "best", {"hyper_parameters": {"data": data}})


def photo(height: int, width: int) -> torch.Tensor:
    return torch.randint(256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_run_on_photos_has_its_own_transform(run_dir: Path) -> None:
    """As torchvision composes it by hand."""
    given = photo(300, 400)
    expected = v2.CenterCrop(64)(v2.Resize(64 * 8 // 7)(given))
    assert torch.equal(photo_transform(load_trained(run_dir, "best"))(given), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_one_size_are_what_photos_are_resized_to(channels: int) -> None:
    transform = photo_transform(trained([channels, 20, 30]))
    assert transform(photo(100, 50)).shape == (channels, 20, 30)
    same = photo(20, 30)
    if channels == 3:
        assert torch.equal(transform(same), same)
    else:
        grey = same[:1].expand(3, -1, -1)
        assert (transform(grey).int() - grey[:1].int()).abs().max() <= 1


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(UserError, match=r"takes inputs of shape \(7,\) \(mine\), not photos"):
        photo_transform(trained([7]))
    with pytest.raises(UserError, match="is unknown"):
        input_shape(trained(None))


def test_normalization_is_both_or_neither() -> None:
    assert normalization(trained([3, 8, 8])) == (None, None)
    assert normalization(trained([3, 8, 8], mean=None, std=None)) == (None, None)
    assert normalization(trained([3, 8, 8], mean=[0.1, 0.2, 0.3], std=[1, 2, 3])) == ([0.1, 0.2, 0.3], [1, 2, 3])


def test_description_of_a_network_on_photos(run_dir: Path) -> None:
    run = load_trained(run_dir, "best")
    facts = describe(
        run,
        EfficientNetLite(name="efficientnet_lite0", num_classes=2, pretrained=False),
        "float32",
        torch.zeros(4, 2),
        "logits",
    )
    assert facts["input"]["shape"] == ["batch", 3, 64, 64]
    assert facts["input"]["value_range"] == [0, 1]
    assert facts["input"]["mean"] is None
    decode, resize, crop, scale = facts["input"]["steps"]
    assert all(word in decode for word in ("EXIF", "profile", "CMYK", "16-bit"))
    assert resize.startswith("resize the shorter side to 73, the longer to int(73 * longer / shorter), bilinear")
    assert crop.startswith("crop the middle, height 64 and width 64: rows from round((rows - 64) / 2)")
    assert scale == "divide by 255"
    assert facts["normalization_in_the_network"] == {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert facts["output"]["shape"] == ["batch", 2]
    assert facts["output"]["meaning"] == "logits"
    assert facts["classes"] == ["ants", "bees"]


def test_description_of_normalised_grey_images() -> None:
    run = trained([1, 8, 9], mean=[0.5], std=[0.25])
    facts = describe(run, nn.Flatten(), "float32", torch.zeros(4, 2), "logits")
    assert facts["input"]["layout"] == "batch, grey, height, width"
    assert facts["input"]["value_range"] == [-2, 2]
    assert (facts["input"]["mean"], facts["input"]["std"]) == ([0.5], [0.25])
    assert "subtract" in facts["input"]["steps"][-1]
    assert facts["normalization_in_the_network"] is None


def test_description_of_numbers() -> None:
    facts = describe(trained([7]), nn.Identity(), "float32", torch.zeros(4, 3), "numbers")
    assert facts["input"] == {"name": "input", "shape": ["batch", 7], "dtype": "float32"}
    assert facts["output"]["shape"] == ["batch", 3]
    assert facts["output"]["meaning"] == "numbers"


def rebuilt(photo: Tensor, steps: Sequence[str]) -> Tensor:
    """The steps of a sidecar as another program would take them, from their words and with Pillow."""
    resize, crop = steps[1:3]
    side = int(re.match(r"resize the shorter side to (\d+)", resize)[1])  # type: ignore[index]
    height, width = map(int, re.match(r"crop the middle, height (\d+) and width (\d+)", crop).groups())  # type: ignore[union-attr]
    image = to_pil_image(photo)
    short, long = sorted(image.size)
    longer = int(side * long / short)
    image = image.resize((side, longer) if image.width <= image.height else (longer, side), Image.Resampling.BILINEAR)
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return pil_to_tensor(image.crop((left, top, left + width, top + height)))


@pytest.mark.parametrize(("height", "width"), [(300, 400), (401, 300), (91, 90), (73, 150), (500, 333)])
def test_the_words_are_enough_to_do_the_same(height: int, width: int, run_dir: Path) -> None:
    run = load_trained(run_dir, "best")
    facts = describe(
        run,
        EfficientNetLite(name="efficientnet_lite0", num_classes=2, pretrained=False),
        "float32",
        torch.zeros(4, 2),
        "logits",
    )
    given = photo(height, width)
    difference = photo_transform(run)(given).int() - rebuilt(given, facts["input"]["steps"]).int()
    assert difference.abs().max() <= 1
    assert difference.abs().float().mean() < 0.05
