"""Selects loggers by what they can show."""

import io

from PIL import Image
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from tensorboard.compat.proto.summary_pb2 import Summary


def tensorboard_loggers(trainer: Trainer) -> list[TensorBoardLogger]:
    """The run's TensorBoard loggers in the first process, none in the others."""
    if not trainer.is_global_zero:
        return []
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def picture_loggers(trainer: Trainer) -> list[Logger]:
    """The run's loggers that can show images in the first process, none in the others."""
    if not trainer.is_global_zero:
        return []
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger | WandbLogger | MLFlowLogger)]


def add_image(logger: Logger, tag: str, image: Image.Image, step: int) -> None:
    """Logs an image to one of `picture_loggers`."""
    if isinstance(logger, TensorBoardLogger):
        logger.experiment._get_file_writer().add_summary(image_summary(tag, image), step)
    elif isinstance(logger, WandbLogger):
        logger.log_image(tag, [image], step=step)
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_image(logger.run_id, image, key=tag, step=step)


def image_summary(tag: str, image: Image.Image) -> Summary:
    """A summary with a JPEG; `SummaryWriter.add_image` writes PNGs, which take ten times the time and space."""
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=90)
    value = Summary.Image(height=image.height, width=image.width, colorspace=3, encoded_image_string=encoded.getvalue())
    return Summary(value=[Summary.Value(tag=tag, image=value)])
