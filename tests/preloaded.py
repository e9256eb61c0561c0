"""What the processes of tests/killing.py have imported before they are forked."""

from engine.process.startup import prepare_imports

prepare_imports()

import pytorch_lightning  # noqa: E402, F401
import torchvision.transforms.v2  # noqa: E402, F401
from pytorch_lightning.loggers import TensorBoardLogger  # noqa: E402, F401
from tensorboard.compat.proto import summary_pb2  # noqa: E402, F401
from torch.utils import tensorboard  # noqa: E402, F401

import callbacks.confusion_matrix  # noqa: E402
import callbacks.hyper_parameters  # noqa: E402
import callbacks.image_grids  # noqa: E402, F401
import datamodules.cifar10  # noqa: E402
import datamodules.hymenoptera  # noqa: E402, F401
import engine.features.frozen  # noqa: E402
import engine.run.record  # noqa: E402
import engine.terminal.panels  # noqa: E402, F401
import lightning_modules.feature_extractor  # noqa: E402, F401
import networks.timm  # noqa: E402, F401
import train  # noqa: E402, F401
