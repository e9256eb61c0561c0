from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from functional.multi_crop import multi_crop
from functional.whitening import whitening_filters

WHITENING_KERNEL = 2
BATCHNORM_EPS = 1e-12


class Airbench(nn.Module):
    """airbench94's small VGG: normalized images (N, 3, 32, 32) → logits (N, num_classes).

    3 × 32 → frozen whitening conv 2×2 with bias → 24 × 31 → GELU → group → 64 × 15 → group → 256 × 7 → group → 256 × 3
    → maximum of each channel → 256 → linear without bias → num_classes → divided by `logit_divisor`

    `whiten` must be called once with training images before training starts. The source treats two groups of parameters
    specially: it freezes `whitening.bias` after 3 epochs, and `groups.*.norm*.bias` has 64 times the learning rate.

    Source: Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498, sections 3.1 to 3.3, and
    github.com/KellerJordan/cifar10-airbench, legacy/airbench94.py. Departures: the precision is the Trainer's (source:
    half, with BatchNorm in float); eigenvectors are computed in double precision; the last pooling accepts any size
    (source: 3×3).

    Args:
        num_classes: number of outputs.
        widths: channels of each group.
        batchnorm_momentum: fraction of the running statistics kept at each step (1 - torch's momentum).
        whitening_eps: added to the variances in the whitening, so that noise is not amplified.
        logit_divisor: divides the logits.
        views: views averaged in evaluation: 1, 2 or 6 (functional/multi_crop.py).
    """

    def __init__(
        self,
        *,
        num_classes: int,
        widths: Sequence[int],
        batchnorm_momentum: float,
        whitening_eps: float,
        logit_divisor: float,
        views: Literal[1, 2, 6],
    ) -> None:
        super().__init__()
        whitened = 2 * 3 * WHITENING_KERNEL**2
        self.whitening = nn.Conv2d(3, whitened, WHITENING_KERNEL)
        self.whitening.weight.requires_grad_(False)
        nn.init.zeros_(self.whitening.bias)  # type: ignore[arg-type]
        channels = [whitened, *widths]
        self.groups = nn.Sequential(
            *(
                ConvGroup(channels_in, channels_out, momentum=1 - batchnorm_momentum)
                for channels_in, channels_out in pairwise(channels)
            )
        )
        self.head = nn.Linear(channels[-1], num_classes, bias=False)
        self.whitening_eps = whitening_eps
        self.logit_divisor = logit_divisor
        self.views = views

    @torch.no_grad()
    def whiten(self, images: Tensor) -> None:
        """Sets the first layer to whiten patches of normalized training images (N, 3, H, W); 5,000 are enough."""
        filters = whitening_filters(images, WHITENING_KERNEL, eps=self.whitening_eps)
        self.whitening.weight.copy_(torch.cat([filters, -filters]))

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of one view."""
        x = self.groups(nn.functional.gelu(self.whitening(x)))
        x = nn.functional.max_pool2d(x, x.shape[-2:]).flatten(1)  # adaptive_max_pool2d is not deterministic on GPUs
        logits: Tensor = self.head(x) / self.logit_divisor
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x) if self.training else multi_crop(self.logits, x, views=self.views)


class ConvGroup(nn.Module):
    """(N, C_in, H, W) → (N, C_out, H // 2, W // 2): conv 3×3, max pool 2, norm, GELU, conv 3×3, norm, GELU.

    The first C_in filters of each convolution are initialized to the identity, and the scales of the norms stay at 1.
    """

    def __init__(self, channels_in: int, channels_out: int, *, momentum: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out, eps=BATCHNORM_EPS, momentum=momentum)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out, eps=BATCHNORM_EPS, momentum=momentum)
        for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2)):
            nn.init.dirac_(conv.weight.data[: conv.in_channels])
            norm.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.gelu(self.norm1(nn.functional.max_pool2d(self.conv1(x), 2)))
        return nn.functional.gelu(self.norm2(self.conv2(x)))
