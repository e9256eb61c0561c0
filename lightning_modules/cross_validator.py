"""Repeated k-fold cross-validation of a new head on a frozen backbone."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from engine.features.epoch_choice import EpochChoice
from engine.features.fold_accuracy import FoldAccuracy, summary
from engine.features.folds import ChoosesBy
from engine.training.accounted_module import Outcome
from engine.training.initialization import initialize
from lightning_modules.feature_extractor import FeatureExtractor
from networks.pretrained import Pretrained
from networks.stacked_linear import StackedLinear


class CrossValidator(FeatureExtractor):
    """A FeatureExtractor that trains F = `num_folds` · `num_repeats` heads at once (engine/features/folds.py).

    Each head has its own initialization, training data and order. The loss is the sum of the heads' mean losses, so
    each head has the same gradients as if it were trained alone. It also has the same weights if the optimizer is
    elementwise (SGD, Adam, AdamW) and gradients are not clipped by their joint norm. `train/loss`, `train/acc` and the
    images per second count all heads.

    Logs `val/acc`, `val/acc_std`, `val/acc_low`, `val/acc_high` (fold_accuracy.py) and `val/acc_<class>`. Validation
    steps return the log of the mean probabilities (N, num_classes) over the heads that a photo is held out from.

    With `choose_epoch_by`, each head's best epoch is also chosen, by its accuracy or loss on examples that it is
    neither trained nor evaluated on. `val/nested_acc`, with `_std`, `_low` and `_high`, is the accuracy on held-out
    examples at these epochs: an estimate of the best epoch's accuracy that its selection does not bias.

    In checkpoints, `network.head` is the mean of all heads, so an exported network returns their mean logits.
    """

    follows_chunks = True
    needs_data = ("num_repeats",)

    def __init__(
        self,
        *,
        network: Pretrained,
        num_folds: int,
        num_repeats: int,
        choose_epoch_by: ChoosesBy | None,
        **classifier: Any,
    ) -> None:
        super().__init__(network=network, **classifier)
        self.num_folds = num_folds
        head = network.head
        self.num_heads = num_folds * num_repeats
        heads = [nn.Linear(head.in_features, head.out_features) for _ in range(self.num_heads)]
        for new in heads:
            initialize(new, classifier["init"])
        self.heads = StackedLinear(heads)
        folds = FoldAccuracy(num_classes=self.num_classes, num_folds=num_folds, num_repeats=num_repeats)
        self.val_metrics = MetricCollection({"folds": folds}, prefix="val/")
        self.choose_epoch_by = choose_epoch_by
        self.choice = None if choose_epoch_by is None else EpochChoice(self.num_heads, self.num_classes)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if not hasattr(self.trainer.datamodule, "num_repeats"):  # type: ignore[attr-defined]
            raise ValueError("cross-validation needs cached features: it does not support cache=false")

    def trainable(self) -> nn.Module:
        return self.heads

    def compute(self, batch: Any) -> Outcome:
        """The outcome of a training or validation batch; validation targets are (class, head), (N · num_repeats, 2).

        Batches are those of engine/features/folds.py.
        """
        if len(batch) == 2:
            features, labels = batch
            logits, labels = self.heads(features).flatten(0, 1), labels.flatten()
            return Outcome(self.compared(logits, labels) * self.num_heads, logits, labels)
        features, labels, held_out, *choosing = batch
        photos = torch.arange(len(features), device=features.device)
        of_all_heads = self.heads(features)
        if self.choice is not None:
            self._score(self.choice, of_all_heads, labels, *choosing)
        logits = of_all_heads[held_out, photos[:, None]].flatten(0, 1)
        labels = labels.repeat_interleave(held_out.shape[1])
        return Outcome(self.compared(logits, labels), logits, torch.stack([labels, held_out.flatten()], dim=1))

    def _score(self, choice: EpochChoice, logits: Tensor, labels: Tensor, choosing: Tensor) -> None:
        """Scores each head by its logits (F, N, C) on those of the N examples that choose its epoch."""
        chosen = [(choosing == head).any(1).nonzero().flatten() for head in range(self.num_heads)]
        pairs = [(logits[head, rows], labels[rows]) for head, rows in enumerate(chosen)]
        if self.choose_epoch_by == "loss":
            scores = [-self.compared(*pair) if len(pair[1]) else logits.new_zeros(()) for pair in pairs]
        else:
            scores = [(own.argmax(1) == truth).float().sum() / max(len(truth), 1) for own, truth in pairs]
        counts = torch.tensor([len(rows) for rows in chosen], device=logits.device)
        choice.current.update(torch.stack(scores), counts)

    def named_metrics(self, computed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values = super().named_metrics(computed)
        if self.choice is None or "val/heads" not in computed:
            return values
        self.choice.end_epoch(self.current_epoch, *computed["val/heads"])
        nested = summary(self.choice.right.sum(1), self.choice.answers.sum(1), self.num_folds)
        return values | {f"val/nested_{name}": value for name, value in nested.items()}

    def validation_step(self, batch: Any, batch_idx: int) -> Tensor:
        logits = super().validation_step(batch, batch_idx)
        features, _, held_out, *_ = batch
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
