import pytest
import torch
from torch.nn import functional as F

from functional.multi_crop import multi_crop

IMAGES = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(0))
WEIGHT = torch.randn(4, 50, generator=torch.Generator().manual_seed(1))


def logits(images: torch.Tensor) -> torch.Tensor:
    return (images.flatten(1) @ WEIGHT.T).relu()


def mirrored(images: torch.Tensor) -> torch.Tensor:
    return (logits(images) + logits(images.flip(-1))) / 2


def test_one_and_two_views():
    assert torch.equal(multi_crop(logits, IMAGES, views=1), logits(IMAGES))
    torch.testing.assert_close(multi_crop(logits, IMAGES, views=2), mirrored(IMAGES))


def test_six_views():
    padded = F.pad(IMAGES, (1, 1, 1, 1), mode="reflect")
    shifted = (mirrored(padded[:, :, 0:5, 0:5]) + mirrored(padded[:, :, 2:7, 2:7])) / 2
    torch.testing.assert_close(multi_crop(logits, IMAGES, views=6), (mirrored(IMAGES) + shifted) / 2)


def test_other_numbers_are_refused():
    with pytest.raises(ValueError, match="views must be 1, 2 or 6, not 3"):
        multi_crop(logits, IMAGES, views=3)
