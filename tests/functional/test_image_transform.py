from typing import Any

import pytest
import torch
from torch.nn import functional as F

from functional.image_transform import ImageTransform

SIZE = 300
IMAGES = torch.randint(0, 256, (SIZE, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
ALL = torch.arange(SIZE)
PLAIN: dict[str, Any] = {"flip": "none", "translate": 0, "cutout": 0, "mean": None, "std": None}


def build(*, seed: int = 0, **settings: Any) -> ImageTransform:
    return ImageTransform(set_size=SIZE, seed=seed, **{**PLAIN, **settings})


def flips(images: torch.Tensor) -> torch.Tensor:
    """Which of the untranslated images come out mirrored; each must be the image or its mirror image."""
    originals = IMAGES / 255
    mirrored = (images == originals.flip(-1)).flatten(1).all(1)
    assert (mirrored | (images == originals).flatten(1).all(1)).all()
    return mirrored


def test_without_augmentation_only_normalises():
    assert torch.equal(build()(IMAGES, ALL, 0), IMAGES / 255)
    mean, std = (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)
    expected = torch.stack([(IMAGES[:, c] / 255 - mean[c]) / std[c] for c in range(3)], dim=1)
    torch.testing.assert_close(build(mean=mean, std=std)(IMAGES, ALL, 0), expected)


def test_the_input_stays_as_it_was():
    before = IMAGES.clone()
    build(flip="random", translate=2, cutout=3)(IMAGES, ALL, 0)
    assert torch.equal(IMAGES, before)


@pytest.mark.parametrize("flip", ["random", "alternating"])
def test_looks_depend_on_seed_epoch_and_index_alone(flip):
    settings = {"flip": flip, "translate": 2, "cutout": 3}
    whole = build(**settings)(IMAGES, ALL, 3)
    some = torch.tensor([250, 3, 17])
    transform = build(**settings)
    transform(IMAGES, ALL, 2)
    assert torch.equal(transform(IMAGES[some], some, 3), whole[some])
    assert not torch.equal(transform(IMAGES, ALL, 4), whole)
    assert not torch.equal(build(**settings, seed=1)(IMAGES, ALL, 3), whole)


def test_alternating_flips_change_every_epoch_and_random_ones_half_the_time():
    alternating, random = build(flip="alternating"), build(flip="random")
    first, second, third = (flips(alternating(IMAGES, ALL, epoch)) for epoch in range(3))
    assert 0.4 < first.float().mean() < 0.6
    assert torch.equal(second, ~first)
    assert torch.equal(third, first)
    assert 0.4 < (flips(random(IMAGES, ALL, 0)) ^ flips(random(IMAGES, ALL, 1))).float().mean() < 0.6


def test_every_shift_occurs():
    result = build(translate=1)(IMAGES, ALL, 0)
    padded = F.pad(IMAGES / 255, (1, 1, 1, 1), mode="reflect")
    matches = torch.stack(
        [(result == padded[..., y : y + 8, x : x + 8]).flatten(1).all(1) for y in range(3) for x in range(3)]
    )
    assert (matches.sum(0) == 1).all()
    assert (matches.sum(1) > SIZE / 9 / 2).all()


def test_cutout_clears_to_the_mean_colour():
    result = build(cutout=3, mean=(0.5001,) * 3, std=(0.25,) * 3)(IMAGES, ALL, 0)
    cleared = (result == 0).all(1).flatten(1).sum(1)
    assert set(cleared.tolist()) == {4, 6, 9}  # at a corner, at an edge, inside


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="unknown flip 'both'; choose from none, random, alternating"):
        build(flip="both")
    with pytest.raises(ValueError, match="mean and std"):
        build(mean=(0.5, 0.5, 0.5))
