"""BatchNorm with fixed statistics, computed within the convolution before it instead of in a pass of its own.

w' = w · γ / √(σ² + ε), b' = (b - μ) · γ / √(σ² + ε) + β, as torch.nn.utils.fusion has it. Either once, in the network
itself, or in each step, as a function of the parameters as they are, so that these can be trained.
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
    """`network` (in eval mode, changed in place) with each BatchNorm that follows a convolution folded into it.

    Which follows which is seen in one forward pass of `image` (1, C, H, W). Where the result does not agree with the
    network as it was (a convolution that also feeds something else), the network is returned as it was.
    """
    original = copy.deepcopy(network)
    expected, pairs = _looked_at(network, image)
    for convolution, norm in _modules(network, pairs):
        fused = fuse_conv_bn_eval(convolution, norm)
        convolution.weight, convolution.bias = fused.weight, fused.bias
        # timm's BatchNormAct2d is known by what it has: to import timm takes a second or two.
        more: Any = norm
        _replace(network, norm, nn.Sequential(more.drop, more.act) if hasattr(norm, "act") else nn.Identity())
    return network if _agree(expected, network(image)) else original


class FoldedBatchNorm(TorchFunctionMode):
    """Inside, each BatchNorm of `network` in eval mode that follows a convolution is folded, in every pass anew.

    Gradients reach all parameters, and the network stays as it is: a mode rather than other layers. What follows what
    is seen once, in forward passes of `image` (1, C, H, W); where folding does not agree there, nothing is folded.
    """

    def __init__(self, network: nn.Module, image: Tensor) -> None:
        super().__init__()
        self._outputs: dict[int, Tensor] = {}  # of folded convolutions, by id, on their way to their BatchNorm
        # In eval mode nothing draws random numbers or keeps statistics, and in float32 agreement shows.
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
    """w' and b'."""
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
    """What `network` gives for `image`, and by name each convolution whose output a BatchNorm took, with that."""
    made_by: dict[int, str] = {}
    outputs: list[Tensor] = []  # kept alive, so that no two have the same id
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
    """By the id of the convolution's weight, which is kept beside so that no other tensor gets that id."""
    return {id(convolution.weight): (convolution.weight, norm) for convolution, norm in _modules(network, pairs)}


def _replace(root: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for module in root.modules():
        for name, child in module.named_children():
            if child is old:
                setattr(module, name, new)
