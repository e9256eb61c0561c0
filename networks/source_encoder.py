from collections import OrderedDict
from typing import Annotated

from annotated_types import Ge
from torch import Tensor, nn


class SourceEncoder(nn.Module):
    """An encoder and a linear head for domain adaptation: images (N, 3, 32, 32) → logits (N, num_classes).

    Channels × side: 3 × 32 → conv 5×5 → 32 × 32 → pool → 32 × 16 → conv 5×5 → 64 × 16 → pool → 64 × 8 = 4096 →
    code_size (the output of `features`, which a domain adapter aligns) → num_classes (`head`).

    Source: the source encoder of domain separation networks, Bousmalis et al. 2016, adapted to 32×32 images.

    Args:
        num_classes: number of outputs.
        code_size: number of features.
    """

    def __init__(self, *, num_classes: int, code_size: Annotated[int, Ge(1)]) -> None:
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, 32, kernel_size=5, padding=2),
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(32, 64, kernel_size=5, padding=2),
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(2),
                flatten=nn.Flatten(),
                code=nn.Linear(64 * 8 * 8, code_size),
                relu3=nn.ReLU(),
            )
        )
        self.head = nn.Linear(code_size, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))
