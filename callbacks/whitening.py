from typing import Annotated, Any

from annotated_types import Ge
from pytorch_lightning import Callback, LightningModule, Trainer


class Whitening(Callback):
    """Sets networks/airbench.py's whitening layer from training images, and stops the training of its bias.

    The layer is computed once, when a training starts anew, from the first `max_images` training images, normalised
    and not augmented; a resumed training has it in its checkpoint. Its bias is trained for `bias_epochs` epochs. In
    several processes that needs `trainer.strategy=ddp_find_unused_parameters_true`.

    Source: Jordan 2024, arXiv 2404.00498, section 3.2 (there 5,000 images and 3 epochs).
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
        self.on_train_epoch_start(trainer, pl_module)  # a resumed training may start amid an epoch

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        network: Any = pl_module.network
        network.whitening.bias.requires_grad_(trainer.current_epoch < self.bias_epochs)
