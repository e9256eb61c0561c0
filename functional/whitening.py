import torch
from torch import Tensor
from torch.nn import functional as F


def whitening_filters(images: Tensor, kernel_size: int, *, eps: float) -> Tensor:
    """Convolution filters (D, C, k, k), D = C·k², that decorrelate the k × k patches of images (N, C, H, W).

    With second moments M = E[p pᵀ] = V diag(λ) Vᵀ over all patches p, filter i is vᵢ / √(λᵢ + eps), in order of
    descending λ. The responses have second moments diag(λ / (λ + eps)), close to the identity for a small eps. The mean
    is not subtracted.

    Source: Page 2018, "How to train your ResNet", part 8 (patch whitening), as in arXiv 2404.00498, section 3.2.
    """
    channels = images.shape[1]
    patches = F.unfold(images, kernel_size)  # (N, D, patches per image)
    moments = (patches @ patches.mT).double().mean(0) / patches.shape[2]
    variances, vectors = torch.linalg.eigh(moments)
    filters = (vectors / (variances + eps).sqrt()).T.flip(0)
    return filters.view(-1, channels, kernel_size, kernel_size).to(images.dtype)
