"""Inputs on which an exported network is tried."""

from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate
from torch import Tensor

from engine.data.normalization import normalize
from engine.results.preprocessing import input_shape, normalization
from engine.run.data_facts import first_tensor
from engine.run.trained import Trained


class Inputs(NamedTuple):
    """(N, …) float32 as the network gets them, and in words what they are."""

    values: Tensor
    name: str


def real_inputs(trained: Trained, count: int) -> Inputs:
    """At most `count` validation inputs of the run's data, where that is at hand; else noise of the same shape.

    Nothing is downloaded or drawn for it.
    """
    try:
        values = _validation_inputs(trained, count)
    except Exception:  # whatever a datamodule raises where its data is missing
        return Inputs(_noise(trained, count), f"{count} inputs of noise (the run's data is not at hand)")
    if len(values) < 2 or list(values.shape[1:]) != list(input_shape(trained)):
        return Inputs(_noise(trained, count), f"{count} inputs of noise (the run has no such validation data)")
    return Inputs(values, f"{len(values)} validation inputs of {trained.data['name']} ({trained.data['source']})")


def _validation_inputs(trained: Trained, count: int) -> Tensor:
    node = trained.config.datamodule
    for key, value in (("num_workers", 0), ("eval_batch_size", count)):
        if key in node:
            node[key] = value
    datamodule = instantiate(node)
    datamodule.setup("fit")
    for batch in datamodule.val_dataloader():
        inputs: Any = first_tensor(datamodule.on_after_batch_transfer(batch, 0))
        return inputs[:count]
    return torch.empty(0)


def _noise(trained: Trained, count: int) -> Tensor:
    """Uniform over the values of pixels, and normalised as pixels are; standard normal where inputs are no images."""
    generator = torch.Generator().manual_seed(0)
    shape = (count, *input_shape(trained))
    if len(shape) != 4:
        return torch.randn(shape, generator=generator)
    return normalize(torch.randint(256, shape, generator=generator), *normalization(trained))
