"""Two domains for domain adaptation: plain digits, and digits blended over colored textures."""

from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from torch import Tensor

from datamodules.digits import SIDE, Digits, read_digits
from datamodules.in_memory import Split, coloured
from engine.data.keyed import keyed_generator
from engine.data.tensor_loader import TensorDataLoader, Transform
from functional.textures import coloured_textures, difference_blend

TEXTURE_SEED = 0  # the target domain is the same for every seed of a run


class DigitsShift(Digits):
    """Trains on labeled source digits and unlabeled target digits, and evaluates on target digits.

    - train: pairs (N, 2, 3, 32, 32) of a source and a target digit, and the source digits' labels (N,). Both domains
      have the same training digits, shuffled independently in each epoch, so the two digits of a pair are unrelated.
    - val, test: target digits (N, 3, 32, 32) with their labels. The validation labels are only used to select the best
      epoch; without them, an application would use the last epoch.

    A target digit is |strength · texture - digit|. Source: MNIST-M, Ganin et al. 2016, "Domain-adversarial training of
    neural networks". Departures: scikit-learn's digits instead of MNIST, procedural textures instead of BSDS500 photos,
    and a reduced texture strength, because 1,257 digits are too few for the full one. `source` is local, since the
    dataset is not published.

    Args:
        strength: contrast of the textures, in [0, 1]; 0: both domains are the same.
    """

    name = "digits_shift"
    source = "local"
    domain = "target: digits on colored textures"

    def __init__(self, *, strength: Annotated[float, Ge(0), Le(1)], **digits: Any) -> None:
        super().__init__(**digits)
        self.strength = strength
        self.target = torch.empty(0)
        self.plain: dict[str, Split] = {}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input of the network."""
        return (3, SIDE, SIDE)

    def load(self) -> dict[str, Split]:
        images, labels = read_digits()
        textures = self.strength * coloured_textures(len(images), size=SIDE, seed=TEXTURE_SEED)
        blended = (difference_blend(images / 255, textures) * 255).round().to(torch.uint8)
        splits = self.split(blended, labels)
        self.target = splits["train"][0]
        self.plain = self.split(coloured(images), labels)
        return splits | {"train": self.plain["train"]}

    def other_domains(self, split: str) -> dict[str, TensorDataLoader]:
        """The same digits of `split` (val, test) in the source domain."""
        settings: dict[str, Any] = {"batch_size": self.eval_batch_size, "shuffle": False, "seed": self.seed}
        loader = TensorDataLoader(*self.plain[split], transform=self.eval_transform(split), **settings)
        return {"source: plain digits": loader}

    def train_transform(self) -> Transform:
        augmented = super().train_transform()

        def pair(images: Tensor, indices: Tensor, epoch: int) -> Tensor:
            partners = self.partners(epoch).to(indices.device)[indices]
            target = self.target[partners.cpu()].to(images.device)
            return torch.stack([augmented(images, indices, epoch), augmented(target, partners, epoch)], dim=1)

        return pair

    def partners(self, epoch: int) -> Tensor:
        """The index (N,) of each source digit's target digit; each target digit is used once per epoch."""
        return torch.randperm(len(self.target), generator=keyed_generator(self.seed, epoch, 2))

    def first_training_batch(self, limit: int) -> tuple[Tensor, Tensor]:
        """At most `limit` digits, alternately source and target, and the labels of both."""
        indices = torch.arange(limit // 2)
        sources, labels = self.splits["train"]
        pairs = self.train_transform()(sources[indices], indices, 0)
        shown = torch.stack([labels[indices], labels[self.partners(0)[indices]]], dim=1)
        return pairs.flatten(0, 1), shown.flatten()
