"""Faster routes for a procedure's forward pass on the CPU, with the same results."""

from contextlib import AbstractContextManager, ExitStack

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from engine.speed.depthwise import FastDepthwiseGradients
from engine.speed.folded_batchnorm import FoldedBatchNorm


class FasterForward:
    """Modes that speed up `network`, entered only where they help, since a mode intercepts every operation."""

    def __init__(self, network: nn.Module, *, channels_last: bool, freeze_batchnorm: bool) -> None:
        self.network = network
        self.channels_last = channels_last
        self.freeze_batchnorm = freeze_batchnorm
        self._folded: FoldedBatchNorm | None = None

    def modes(self, inputs: Tensor) -> AbstractContextManager[object]:
        """A context in which to run the network on these inputs."""
        modes = ExitStack()
        for mode in self._modes(inputs) if inputs.device.type == "cpu" and inputs.ndim == 4 else ():
            modes.enter_context(mode)
        return modes

    def _modes(self, images: Tensor) -> list[TorchFunctionMode]:
        modes: list[TorchFunctionMode] = []
        if torch.is_grad_enabled() and (self.channels_last or torch.is_autocast_enabled("cpu")):
            modes.append(FastDepthwiseGradients())
        if self.freeze_batchnorm:
            if self._folded is None:
                self._folded = FoldedBatchNorm(self.network, images[:1])
            modes.append(self._folded)
        return modes
