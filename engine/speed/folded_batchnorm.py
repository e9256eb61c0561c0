"""Folds BatchNorm with fixed statistics into the preceding convolution.

w' = w · γ / √(σ² + ε), b' = (b - μ) · γ / √(σ² + ε) + β, as in torch.nn.utils.fusion: either once, which changes the
network, or in every forward pass as a function of the current parameters, so that they can be trained.
"""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.overrides import TorchFunctionMode


@torch.no_grad()
def fold_batchnorm(network: nn.Module, image: Tensor) -> nn.Module:
    """Folds each BatchNorm that follows a convolution into it; `network` must be in eval mode and is changed in place.

    A forward pass of `image` (1, C, H, W) finds the pairs. If the folded network computes something else (because a
    convolution has another consumer), an unchanged copy is returned.
    """
    original = copy.deepcopy(network)
    expected, pairs = _looked_at(network, image)
    for convolution, norm in _modules(network, pairs):
        fused = fuse_conv_bn_eval(convolution, norm)
        convolution.weight, convolution.bias = fused.weight, fused.bias
        # timm's BatchNormAct2d is recognized by its attributes, since importing timm takes a second or two.
        more: Any = norm
        _replace(network, norm, nn.Sequential(more.drop, more.act) if hasattr(norm, "act") else nn.Identity())
    return network if _agree(expected, network(image)) else original


class FoldedBatchNorm(TorchFunctionMode):
    """Folds each BatchNorm in eval mode that follows a convolution, in every forward pass of `network`.

    Gradients reach all parameters, and the network is not modified. Forward passes of `image` (1, C, H, W) find the
    pairs at construction; if folding changes the output, nothing is folded.
    """

    def __init__(self, network: nn.Module, image: Tensor) -> None:
        super().__init__()
        self._outputs: dict[int, Tensor] = {}  # outputs of folded convolutions, by id, until their BatchNorm runs
        # Eval mode avoids random numbers and changed statistics; float32 makes the comparison meaningful.
        trial = copy.deepcopy(network).eval().float()
        with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
            expected, pairs = _looked_at(trial, image.float())
            self._norms = _by_weight(trial, pairs)
            with self:
                agree = _agree(expected, trial(image.float()))
        self._norms = _by_weight(network, pairs if agree else [])

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.conv2d and len(args) > 2:
            x, weight, bias, *geometry = args
            _, norm = self._norms.get(id(weight), (None, None))
            if norm is not None and not norm.training:
                output = func(x, *_folded(weight, bias, norm), *geometry, **(kwargs or {}))
                self._outputs[id(output)] = output
                return output
        if func is F.batch_norm and args and self._outputs.pop(id(args[0]), None) is not None:
            return args[0]
        return func(*args, **(kwargs or {}))


def _folded(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """The folded weight w' and bias b'."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = (variance + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight
    shift = (-mean if bias is None else bias - mean) * scale
    return weight * scale.view(-1, 1, 1, 1), shift + norm.bias if norm.affine else shift


def _agree(expected: Tensor, got: Tensor) -> bool:
    return torch.allclose(expected, got, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def _looked_at(network: nn.Module, image: Tensor) -> tuple[Tensor, list[tuple[str, str]]]:
    """The output for `image`, and the names of all (convolution, BatchNorm) pairs that ran in sequence."""
    made_by: dict[int, str] = {}
    outputs: list[Tensor] = []  # kept alive so that ids stay unique
    pairs: list[tuple[str, str]] = []
    names = {module: name for name, module in network.named_modules()}

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs.append(output)
        if isinstance(module, nn.Conv2d):
            made_by[id(output)] = names[module]
        elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats and id(inputs[0]) in made_by:
            pairs.append((made_by[id(inputs[0])], names[module]))

    handles = [module.register_forward_hook(watch) for module in network.modules()]
    output = network(image)
    for handle in handles:
        handle.remove()
    return output, pairs


def _modules(network: nn.Module, pairs: list[tuple[str, str]]) -> list[tuple[Any, Any]]:
    return [(network.get_submodule(convolution), network.get_submodule(norm)) for convolution, norm in pairs]


def _by_weight(network: nn.Module, pairs: list[tuple[str, str]]) -> dict[int, tuple[Tensor, nn.BatchNorm2d]]:
    """The BatchNorm by the id of the convolution's weight; storing the weight keeps its id from being reused."""
    return {id(convolution.weight): (convolution.weight, norm) for convolution, norm in _modules(network, pairs)}


def _replace(root: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for module in root.modules():
        for name, child in module.named_children():
            if child is old:
                setattr(module, name, new)
