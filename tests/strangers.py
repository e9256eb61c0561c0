"""Modules as their authors publish them, for test_published_parts.py: nothing here knows of this project."""

import random
import time
from typing import Any

import lightning as L
import numpy as np
import pytorch_lightning as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.nn import functional as F


class Flat(nn.Sequential):
    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(width, num_classes))


class Endless(pl.Callback):
    """Never comes to the end of the second epoch's first batch."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        while trainer.current_epoch:
            time.sleep(1)


class GAN(pl.LightningModule):
    """As in Lightning's documentation, with small linear layers: two optimizers, noise from torch's generator."""

    def __init__(self, latent_dim: int = 16, lr: float = 0.001) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.generator = nn.Sequential(nn.Linear(latent_dim, 32), nn.ReLU(), nn.Linear(32, 1024))
        self.discriminator = nn.Sequential(nn.Linear(1024, 32), nn.LeakyReLU(), nn.Linear(32, 1))

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.generator(z)
        return images

    def loss_of(self, images: Tensor, are_real: bool) -> Tensor:
        scores = self.discriminator(images)
        return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, float(are_real)))

    def training_step(self, batch: list[Tensor]) -> None:
        images = batch[0].flatten(1)
        of_generator, of_discriminator = self.optimizers()
        z = torch.randn(len(images), self.hparams["latent_dim"], device=images.device)
        self.toggle_optimizer(of_generator)
        g_loss = self.loss_of(self(z), True)
        self.manual_backward(g_loss)
        of_generator.step()
        of_generator.zero_grad()
        self.untoggle_optimizer(of_generator)
        self.toggle_optimizer(of_discriminator)
        d_loss = (self.loss_of(images, True) + self.loss_of(self(z).detach(), False)) / 2
        self.manual_backward(d_loss)
        of_discriminator.step()
        of_discriminator.zero_grad()
        self.untoggle_optimizer(of_discriminator)
        self.log_dict({"g_loss": g_loss, "d_loss": d_loss}, prog_bar=True)

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val_loss", self.loss_of(batch[0].flatten(1), True))

    def configure_optimizers(self):  # type: ignore[no-untyped-def]
        rate = self.hparams["lr"]
        return [torch.optim.Adam(p.parameters(), lr=rate) for p in (self.generator, self.discriminator)], []


class Unified(L.LightningModule):
    """For the package `lightning`, with a plateau schedule and a checkpoint callback of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Flatten(), nn.Linear(1024, 16), nn.Dropout(), nn.Linear(16, 10))
        self.example_input_array = torch.zeros(2, 1024)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.layer(images)
        return scores

    def training_step(self, batch: list[Tensor], batch_idx: int) -> dict[str, Tensor]:
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss)
        return {"loss": loss}

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val_loss", F.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self):  # type: ignore[no-untyped-def]
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}

    def configure_callbacks(self) -> list[L.Callback]:
        return [ModelCheckpoint(monitor="val_loss", filename="theirs")]


class Peculiar(L.LightningModule):
    """What Lightning allows and few modules do: see each method."""

    def __init__(self) -> None:
        super().__init__()
        self.network = None
        self.frozen = nn.Linear(1024, 16).requires_grad_(False)
        nn.init.constant_(self.frozen.weight, 0.01)
        nn.init.zeros_(self.frozen.bias)
        self.strict_loading = False
        self.loss = nn.CrossEntropyLoss()
        self.noise = torch.Generator().manual_seed(1)
        self.rng, self.dice = np.random.default_rng(2), random.Random(3)

    def configure_model(self) -> None:
        """Makes the layers only now, one of them without knowing its inputs."""
        if self.network is None:
            self.network = nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.Linear(16, 10))

    def state_dict(self, *arguments, **options):  # type: ignore[no-untyped-def]
        """Without what is frozen."""
        state = super().state_dict(*arguments, **options)
        return {name: value for name, value in state.items() if not name.startswith("frozen.")}

    def forward(self, images: Tensor) -> Tensor:
        assert self.network is not None
        scores: Tensor = self.network(self.frozen(images.flatten(1)))
        return scores

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor | None:
        """With noise of three generators of its own; some batches are left out."""
        noise = torch.randn(len(batch[0]), 1, 1, 1, generator=self.noise)
        noise *= float(self.rng.normal()) + self.dice.random()
        return None if batch_idx % 5 == 4 else self.loss(self(batch[0] + noise), batch[1])

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val_loss", self.loss(self(batch[0]), batch[1]))

    def on_validation_epoch_end(self) -> None:
        self.print("validated")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Puts objects into checkpoints, which weights_only refuses."""
        checkpoint["parts"] = {"loss": self.loss, "version": np.int64(1)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        assert checkpoint["parts"]["version"] == 1

    def configure_optimizers(self):  # type: ignore[no-untyped-def]
        return torch.optim.SGD(self.parameters(), lr=0.1)


def peculiar():  # type: ignore[no-untyped-def]
    return Peculiar()
