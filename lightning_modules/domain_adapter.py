"""Unsupervised domain adaptation."""

import math
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import nn

from engine.training.accounted_module import Outcome
from lightning_modules.classifier import Classifier

STEEPNESS = 10  # of the weight's schedule: Ganin et al. 2016, section 5.2.2


class DomainAdapter(Classifier):
    """A Classifier for an unlabeled target domain: it learns the source's labels and aligns the domains' features.

    loss(source logits, labels) + λ(p) · Σ discrepancy(layer of source, layer of target), over the layers `features`
    and `head` of the network, with λ(p) = weight · (2 / (1 + exp(-10 p)) - 1) and p the fraction of epochs completed.
    A training batch consists of pairs (N, 2, C, H, W) of a source and a target image, and the source's labels (N,);
    train/acc is on the source images, train/discrepancy is summed over the layers. Validation and test batches are as
    for a Classifier.

    Source: Long et al. 2015, "Learning transferable features with deep adaptation networks", equation 4. Departures:
    each layer's discrepancy is over the whole batch instead of its linear-time estimate, and the weight follows the
    schedule of Ganin et al. 2016, once per epoch, because aligning untrained features does harm.

    Args:
        discrepancy: maps two samples (N, D) and (N, D) to a scalar, 0 if both come from the same distribution.
        weight: λ at the end of training; 0: train on the source only.
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
        weight = self.current_weight()
        with torch.set_grad_enabled(weight > 0 and torch.is_grad_enabled()):
            distance = sum(self.discrepancy(*layer.split(len(labels))) for layer in (features, logits))
        self.add_to_mean("train/discrepancy", distance, len(labels))
        return Outcome(loss + weight * distance if weight else loss, source, labels)

    def current_weight(self) -> float:
        """λ(p) in this epoch: 0 in the first, almost `weight` in the last."""
        progress = self.current_epoch / (self.trainer.max_epochs or 1)
        return self.weight * (2 / (1 + math.exp(-STEEPNESS * progress)) - 1)
