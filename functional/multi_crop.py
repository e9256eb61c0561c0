from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def multi_crop(logits: Callable[[Tensor], Tensor], images: Tensor, *, views: int) -> Tensor:
    """Logits (N, K) of images (N, C, H, W), averaged over views of each.

    1: the image alone. 2: and its mirror image, half each. 6: both, with half of the weight, and both shifted by one
    pixel up and left and by one pixel down and right (padded by reflection), with a quarter each. ValueError for other
    numbers.

    Source: Jordan 2024, arXiv 2404.00498, section 3.5 (six views), which come in one batch here rather than in six.
    """
    if views not in (1, 2, 6):
        raise ValueError(f"views is 1, 2 or 6, not {views}")
    if views == 1:
        return logits(images)
    crops = [images]
    if views == 6:
        height, width = images.shape[-2:]
        padded = F.pad(images, (1, 1, 1, 1), mode="reflect")
        crops += [padded[..., :height, :width], padded[..., 2:, 2:]]
    crops += [crop.flip(-1) for crop in crops]
    weights = {2: (0.5, 0.5), 6: (0.25, 0.125, 0.125) * 2}[views]
    outputs = logits(torch.cat(crops)).unflatten(0, (views, -1))
    return torch.einsum("v,vnk->nk", outputs.new_tensor(weights), outputs)
