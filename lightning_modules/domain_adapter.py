"""Unsupervised domain adaptation."""

import math
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import nn

from engine.training.accounted_module import Outcome
from lightning_modules.classifier import Classifier

STEEPNESS = 10  # of the weight's rise: Ganin et al. 2016, section 5.2.2


class DomainAdapter(Classifier):
    """A Classifier for a target domain without labels: it learns the source's labels, and to tell no domain apart.

    loss(source logits, labels) + λ(p) · Σ discrepancy(layer of source, layer of target), over the layers `features`
    and `head` of the network, with λ(p) = weight · (2 / (1 + exp(-10 p)) - 1) and p the share of epochs that are over.
    A training batch is pairs (N, 2, C, H, W) of a source and a target image, and the source's labels (N,), which
    train/acc is of as well. Validation and test batches are a Classifier's.

    Source: Long et al. 2015, "Learning transferable features with deep adaptation networks", equation 4. Departures:
    each layer's discrepancy over the whole batch, not its linear-time estimate, and the weight rises as that of Ganin
    et al. 2016, once an epoch: while the features mean nothing, aligning them does harm.

    Args:
        discrepancy: of two samples (N, D) and (N, D), as a scalar; 0 where they are of one distribution.
        weight: λ at the end; 0: training on the source alone.
    """

    follows_chunks = True
    network: Any

    def __init__(self, *, discrepancy: nn.Module, weight: Annotated[float, Ge(0)], **classifier: Any) -> None:
        super().__init__(**classifier)
        if not (hasattr(self.network, "features") and hasattr(self.network, "head")):
            raise TypeError(f"network: {type(self.network).__name__} has no features and head to align.")
        self.discrepancy = discrepancy
        self.weight = weight

    def compute(self, batch: Any) -> Outcome:
        inputs, labels = batch
        if inputs.ndim == 4:
            return super().compute(batch)
        features = self.network.features(torch.cat(inputs.unbind(1)))
        logits = self.network.head(features)
        source = logits[: len(labels)]
        loss = self.compared(source, labels)
        if weight := self.current_weight():
            distance = sum(self.discrepancy(*layer.split(len(labels))) for layer in (features, logits))
            loss = loss + weight * distance
        return Outcome(loss, source, labels)

    def current_weight(self) -> float:
        """λ(p) of this epoch: 0 in the first, nearly `weight` in the last."""
        progress = self.current_epoch / (self.trainer.max_epochs or 1)
        return self.weight * (2 / (1 + math.exp(-STEEPNESS * progress)) - 1)
