from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn


class CifarResNet(nn.Module):
    """A ResNet for small images: (N, 3, 32, 32) → logits (N, num_classes). Four stages of two blocks are a ResNet-18.

    3 × 32 → conv 3×3, norm → width × 32 → stages → width × 32 → 2·width × 16 → 4·width × 8 → 8·width × 4 → mean → head

    Source: He et al. 2016, "Deep residual learning for image recognition", arXiv 1512.03385, table 1. Departures, usual
    for 32×32: the first convolution is 3×3 with stride 1, without max pooling, since ImageNet's stem would reduce the
    image to 8×8. A shortcut that changes the shape is a 1×1 convolution (option B).

    Args:
        num_classes: number of outputs.
        width: channels of the first stage; each further stage doubles them and halves the resolution.
        blocks: number of residual blocks in each stage.
    """

    def __init__(
        self, *, num_classes: int, width: Annotated[int, Ge(1)], blocks: Sequence[Annotated[int, Ge(1)]]
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        layers: list[nn.Module] = []
        channels = width
        for stage, count in enumerate(blocks):
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(ResidualBlock(channels, width * 2**stage, stride=stride))
                channels = width * 2**stage
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        features = self.blocks(self.stem(x)).mean((2, 3))
        logits: Tensor = self.head(features)
        return logits


class ResidualBlock(nn.Module):
    """(N, C_in, H, W) → (N, C_out, H / stride, W / stride): relu(x' + norm(conv(relu(norm(conv(x))))))."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        residual = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(self.shortcut(x) + residual)
