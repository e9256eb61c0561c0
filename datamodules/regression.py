"""Random inputs and outputs, as in PyTorch's first tutorials."""

from typing import Annotated

import torch
from annotated_types import Ge
from pytorch_lightning import LightningDataModule
from torch import Tensor

from engine.data.chunk import takes_chunks
from engine.data.keyed import keyed_generator
from engine.data.tensor_loader import TensorDataLoader


class Regression(LightningDataModule):
    """One batch for all steps: x (batch_size, d_in), then y (batch_size, d_out), drawn from a standard normal.

    Validation is on the same batch, since there is nothing to generalize to: `val/loss` is the loss after the epoch's
    last step. `source` is generated: these random numbers are the dataset.

    Source: J. Johnson, "Learning PyTorch with Examples". The draws are keyed by `seed` in their own stream: with the
    global generator, weights and data would be the same numbers.

    Args:
        batch_size: number of examples.
        d_in, d_out: widths of inputs and outputs.
        steps_per_epoch: how many times an epoch repeats the batch.
        chunk: steps per chunk (tensor_loader.py).
    """

    name = "regression"
    source = "generated"
    has_test = False

    def __init__(
        self,
        *,
        batch_size: Annotated[int, Ge(1)],
        d_in: Annotated[int, Ge(1)],
        d_out: Annotated[int, Ge(1)],
        steps_per_epoch: Annotated[int, Ge(1)],
        chunk: Annotated[int, Ge(1)],
        seed: int,
    ) -> None:
        super().__init__()
        generator = keyed_generator(seed)
        self.x = torch.randn(batch_size, d_in, generator=generator)
        self.y = torch.randn(batch_size, d_out, generator=generator)
        self.steps_per_epoch = steps_per_epoch
        self.chunk = chunk

    def train_dataloader(self) -> TensorDataLoader:
        return self._loader(self.steps_per_epoch, self.chunk if takes_chunks(self.trainer) else 1)

    def val_dataloader(self) -> TensorDataLoader:
        return self._loader(1, 1)

    def _loader(self, repeats: int, chunk: int) -> TensorDataLoader:
        x, y = (tensor.repeat(repeats, 1) for tensor in self.batch)
        return TensorDataLoader(x, y, batch_size=len(self.x), shuffle=False, seed=0, chunk=chunk)

    @property
    def batch(self) -> tuple[Tensor, Tensor]:
        """Inputs (batch_size, d_in) and targets (batch_size, d_out)."""
        return self.x, self.y

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input of the network."""
        return tuple(self.batch[0].shape[1:])

    def counts(self) -> dict[str, int]:
        """The number of training examples; there are no others."""
        return {"train": len(self.x)}
