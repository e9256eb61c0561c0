import pytest
import torch
from torch.nn import functional as F

from functional.augment import alternating_flip, cutout, translate


@pytest.fixture(params=[torch.uint8, torch.float32])
def images(request):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (6, 3, 8, 10), generator=generator).to(request.param)


FLIPPED = torch.tensor([True, False, True, True, False, False])


@pytest.mark.parametrize("flipped", [None, FLIPPED])
def test_translate_is_padding_by_reflection_and_a_crop(images, flipped):
    shifts = torch.tensor([[0, 0], [4, -4], [-4, 3], [1, 2], [-7, 9], [7, -9]])
    result = translate(images, shifts, flipped=flipped)
    for n, (dy, dx) in enumerate(shifts.tolist()):
        image = images[n].flip(-1) if flipped is not None and flipped[n] else images[n]
        padded = F.pad(image[None].double(), (9, 9, 7, 7), mode="reflect")[0]
        assert torch.equal(result[n].double(), padded[:, 7 + dy : 15 + dy, 9 + dx : 19 + dx])
    assert result.dtype == images.dtype


def test_translate_takes_channels_last(images):
    shifts = torch.tensor([[1, -2]] * 6)
    expected = translate(images, shifts)
    assert torch.equal(translate(images.contiguous(memory_format=torch.channels_last), shifts), expected)


@pytest.mark.parametrize("size", [1, 4, 5])
def test_cutout_clears_the_square_inside_the_image(images, size):
    centres = torch.tensor([[0, 0], [7, 9], [4, 4], [3, 0], [0, 9], [5, 2]])
    images = images + 1  # so that what is 0 was cleared
    result = cutout(images, centres, size)
    for image, before, (y, x) in zip(result, images, centres.tolist(), strict=True):
        expected = before.clone()
        for row in range(8):
            for column in range(10):
                if 0 <= row - (y - size // 2) < size and 0 <= column - (x - size // 2) < size:
                    expected[:, row, column] = 0
        assert torch.equal(image, expected)


def test_alternating_flip_is_the_parity_of_first_plus_epoch():
    first = torch.tensor([True, False, False])
    for epoch in range(5):
        expected = [(int(f) + epoch) % 2 == 1 for f in first]
        assert alternating_flip(first, epoch).tolist() == expected
