"""Repeated k-fold cross-validation of a new head on a frozen backbone."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from engine.features.fold_accuracy import FoldAccuracy
from engine.training.accounted_module import Outcome
from engine.training.initialization import initialize
from lightning_modules.feature_extractor import FeatureExtractor
from networks.pretrained import Pretrained
from networks.stacked_linear import StackedLinear


class CrossValidator(FeatureExtractor):
    """A FeatureExtractor that trains F = `num_folds` · `num_repeats` heads at once (engine/features/folds.py).

    Each head has its own initialisation, training data and order. The loss is the sum of the heads' mean losses, so
    each head has the same gradients as if it were trained alone. It also has the same weights if the optimizer is
    elementwise (SGD, Adam, AdamW) and gradients are not clipped by their joint norm. `train/loss`, `train/acc` and the
    images per second count all heads.

    Logs `val/acc`, `val/acc_std`, `val/acc_low`, `val/acc_high` (fold_accuracy.py) and `val/acc_<class>`. Validation
    steps return the log of the mean probabilities (N, num_classes) over the heads that a photo is held out from.

    In checkpoints, `network.head` is the mean of all heads, so an exported network returns their mean logits.
    """

    follows_chunks = True
    needs_data = ("num_folds",)

    def __init__(
        self,
        *,
        network: Pretrained,
        num_folds: int,
        num_repeats: int,
        **classifier: Any,
    ) -> None:
        super().__init__(network=network, **classifier)
        head = network.head
        self.num_heads = num_folds * num_repeats
        heads = [nn.Linear(head.in_features, head.out_features) for _ in range(self.num_heads)]
        for new in heads:
            initialize(new, classifier["init"])
        self.heads = StackedLinear(heads)
        folds = FoldAccuracy(num_classes=self.num_classes, num_folds=num_folds, num_repeats=num_repeats)
        self.val_metrics = MetricCollection({"folds": folds}, prefix="val/")

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if not hasattr(self.trainer.datamodule, "num_folds"):  # type: ignore[attr-defined]
            raise ValueError("cross-validation needs cached features: it does not support cache=false")

    def trainable(self) -> nn.Module:
        return self.heads

    def compute(self, batch: Any) -> Outcome:
        """The outcome of a training or validation batch; validation targets are (class, head), (N · num_repeats, 2)."""
        if len(batch) == 2:
            features, labels = batch
            logits, labels = self.heads(features).flatten(0, 1), labels.flatten()
            return Outcome(self.compared(logits, labels) * self.num_heads, logits, labels)
        features, labels, held_out = batch
        photos = torch.arange(len(features), device=features.device)
        logits = self.heads(features)[held_out, photos[:, None]].flatten(0, 1)
        labels = labels.repeat_interleave(held_out.shape[1])
        return Outcome(self.compared(logits, labels), logits, torch.stack([labels, held_out.flatten()], dim=1))

    def validation_step(self, batch: Any, batch_idx: int) -> Tensor:
        logits = super().validation_step(batch, batch_idx)
        features, _, held_out = batch
        each = logits.float().log_softmax(1).view(len(features), held_out.shape[1], -1)
        return each.logsumexp(1) - math.log(held_out.shape[1])

    def _account(self, split: str, outcomes: Sequence[Outcome]) -> None:
        if split == "train":
            outcomes = [outcome._replace(loss=outcome.loss / self.num_heads) for outcome in outcomes]
        super()._account(split, outcomes)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        for name, parameter in self.heads.named_parameters():
            checkpoint["state_dict"][f"network.head.{name}"] = parameter.detach().mean(0)
