"""Modules as their authors publish them, for test_published_parts.py: nothing here knows of this project."""

import lightning as L
import pytorch_lightning as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.nn import functional as F


class Flat(nn.Sequential):
    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(width, num_classes))


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
