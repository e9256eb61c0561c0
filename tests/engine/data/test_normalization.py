import pytest
import torch

from engine.data.normalization import normalize, require_normalization
from engine.errors import DataError


def test_bytes_to_the_unit_interval() -> None:
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    scaled = normalize(images, None, None)
    assert scaled.dtype == torch.float32
    assert torch.equal(scaled.flatten(), torch.arange(256) / 255)


def test_mean_and_std_are_per_channel() -> None:
    images = torch.randint(256, (2, 3, 4, 5), dtype=torch.uint8)
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    expected = torch.stack([(images[:, c] / 255 - mean[c]) / std[c] for c in range(3)], dim=1)
    torch.testing.assert_close(normalize(images, mean, std), expected)


def test_the_bytes_stay_as_they_were() -> None:
    images = torch.full((1, 3, 2, 2), 7, dtype=torch.uint8)
    normalize(images, (0.5,) * 3, (0.5,) * 3)
    assert torch.equal(images, torch.full((1, 3, 2, 2), 7, dtype=torch.uint8))


def test_settings_that_normalize_nothing_or_by_zero_are_refused() -> None:
    require_normalization(None, None, channels=3)
    require_normalization([0.5], [0.2], channels=1)
    for mean, std in (([0.5], None), (None, [0.5]), ([], []), ([0.5] * 3, [0.5] * 2), ([0.5] * 3, [0.5, 0.5, 0.0])):
        with pytest.raises(DataError, match=r"datamodule\.mean=.* and datamodule\.std=.*: give both, each with one"):
            require_normalization(mean, std, channels=3)
