from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F


def multi_crop(logits: Callable[[Tensor], Tensor], images: Tensor, *, views: int) -> Tensor:
    """Logits (N, K) of images (N, C, H, W), averaged over `views` of each image.

    views=1: the image itself. 2: the image and its mirror image, weighted equally. 6: these two with half of the total
    weight, and both shifted by one pixel up and left, and down and right (reflection padding), with a quarter each.
    Raises ValueError for other numbers.

    Source: Jordan 2024, arXiv 2404.00498, section 3.5.
    """
    if views not in (1, 2, 6):
        raise ValueError(f"views must be 1, 2 or 6, not {views}")
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
