from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from engine.data.keyed import keyed_generator


class DynamicNet(nn.Module):
    """A fully connected network (N, d_in) → (N, d_out) with a random depth in every training forward pass.

    h₀ = max(W x + b, 0); hᵢ₊₁ = max(M hᵢ + m, 0), with one shared middle layer; y = V h_R + v, where the number of
    reuses R is uniform on 0 … max_reuses. Source: J. Johnson, "Learning PyTorch with Examples", section "Control flow
    and weight sharing", with two departures:

    - R depends only on `seed` and the number of training forward passes so far, which is in the state dict. A resumed
      run therefore repeats the draws of an uninterrupted one.
    - In evaluation, the output is the mean over all depths, which is the expected training output.

    With R = 0 the middle layer is not used and gets no gradient.
    """

    forwards: Tensor

    def __init__(
        self, *, d_in: int, hidden: Annotated[int, Ge(1)], d_out: int, max_reuses: Annotated[int, Ge(0)], seed: int
    ) -> None:
        super().__init__()
        self.input_linear = nn.Linear(d_in, hidden)
        self.middle_linear = nn.Linear(hidden, hidden)
        self.output_linear = nn.Linear(hidden, d_out)
        self.max_reuses = max_reuses
        self.seed = seed
        self.register_buffer("forwards", torch.zeros((), dtype=torch.int64))

    def draw_reuses(self) -> int:
        """Draws R, 0 to max_reuses, for the next training forward pass, and counts the pass."""
        generator = keyed_generator(self.seed, int(self.forwards))
        self.forwards += 1
        return int(torch.randint(self.max_reuses + 1, (), generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        reuses = self.draw_reuses() if self.training else self.max_reuses
        hidden = [self.input_linear(x).clamp(min=0)]
        for _ in range(reuses):
            hidden.append(self.middle_linear(hidden[-1]).clamp(min=0))
        # The output layer is affine, so the mean of its outputs is its output for the mean.
        return self.output_linear(hidden[-1] if self.training else torch.stack(hidden).mean(0))
