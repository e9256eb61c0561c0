from collections import OrderedDict
from typing import Annotated

from annotated_types import Ge
from torch import Tensor, nn

from networks.activation import build_activation


class LeNet(nn.Module):
    """A small convolutional classifier after LeNet-5: images (N, in_channels, 32, 32) → logits (N, num_classes).

    C 32 → conv 5×5 → 6 × 28 → pool → 6 × 14 → conv 5×5 → 16 × 10 → pool → 16 × 5 = 400 → 120 → 84 → num_classes

    Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition", section II.B, as adapted in
    PyTorch's tutorials: max pooling, all maps connected, a linear output. `features` are (N, 84).

    Args:
        in_channels: 1 for grayscale images, 3 for color.
        num_classes: number of outputs.
        activation: a name in networks/activation.py.
        log_softmax: return log-probabilities (for NLLLoss) instead of logits.
    """

    def __init__(
        self, *, in_channels: Annotated[int, Ge(1)], num_classes: int, activation: str, log_softmax: bool
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(in_channels, 6, kernel_size=5),
                act1=build_activation(activation),
                pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(6, 16, kernel_size=5),
                act2=build_activation(activation),
                pool2=nn.MaxPool2d(2),
                flatten=nn.Flatten(),
                fc1=nn.Linear(16 * 5 * 5, 120),
                act3=build_activation(activation),
                fc2=nn.Linear(120, 84),
                act4=build_activation(activation),
            )
        )
        self.head = nn.Linear(84, num_classes)
        self.log_softmax = log_softmax

    def forward(self, x: Tensor) -> Tensor:
        logits = self.head(self.features(x))
        return logits.log_softmax(1) if self.log_softmax else logits
