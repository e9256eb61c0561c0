from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F


def multi_crop(logits: Callable[[Tensor], Tensor], images: Tensor, *, views: int) -> Tensor:
    """Logits (N, K) of images (N, C, H, W), averaged over views of each.

    1: the image alone. 2: and its mirror image, half each. 6: both, with half of the weight, and both shifted by one
    pixel up and left and by one pixel down and right (padded by reflection), with a quarter each. ValueError for other
    numbers.

    Source: Jordan 2024, arXiv 2404.00498, section 3.5.
    """
    if views not in (1, 2, 6):
        raise ValueError(f"views is 1, 2 or 6, not {views}")
    if views == 1:
        return logits(images)
    centred = (logits(images) + logits(images.flip(-1))) / 2
    if views == 2:
        return centred
    height, width = images.shape[-2:]
    padded = F.pad(images, (1, 1, 1, 1), mode="reflect")
    shifted = (
        multi_crop(logits, padded[..., :height, :width], views=2) + multi_crop(logits, padded[..., 2:, 2:], views=2)
    ) / 2
    return (centred + shifted) / 2
