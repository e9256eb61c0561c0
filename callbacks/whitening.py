from typing import Annotated, Any

from annotated_types import Ge
from pytorch_lightning import Callback, LightningModule, Trainer


class Whitening(Callback):
    """Initializes the whitening layer of networks/airbench.py from training images, and freezes its bias after a while.

    The layer is computed when a new training starts, from the first `max_images` training images, normalized but not
    augmented; a resumed training loads it. Its bias is trained for `bias_epochs` epochs. With several processes, this
    requires `trainer.strategy=ddp_find_unused_parameters_true`.

    Source: Jordan 2024, arXiv 2404.00498, section 3.2 (which uses 5,000 images and 3 epochs).
    """

    follows_chunks = True

    def __init__(self, *, max_images: Annotated[int, Ge(1)], bias_epochs: Annotated[int, Ge(0)]) -> None:
        self.max_images = max_images
        self.bias_epochs = bias_epochs

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.ckpt_path is None:
            datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
            network: Any = pl_module.network
            network.whiten(datamodule.normalized_training_images(self.max_images).to(pl_module.device))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_train_epoch_start(trainer, pl_module)  # training may resume inside an epoch

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        network: Any = pl_module.network
        network.whitening.bias.requires_grad_(trainer.current_epoch < self.bias_epochs)
