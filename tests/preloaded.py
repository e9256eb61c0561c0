"""What processes have imported before they are forked: all that entry points import, optional packages aside."""

from importlib import import_module
from pkgutil import walk_packages

from engine.process.startup import prepare_imports

prepare_imports()

import matplotlib.pyplot  # noqa: E402, F401
import pytorch_lightning  # noqa: E402, F401
import torchvision.transforms.v2  # noqa: E402, F401
from pytorch_lightning.loggers import TensorBoardLogger  # noqa: E402, F401
from tensorboard.compat.proto import summary_pb2  # noqa: E402, F401
from torch.utils import tensorboard  # noqa: E402, F401

OF_HYDRA = ("engine.api", "engine.sweep", "engine.report", "engine.compare")
"""Packages that import Hydra's plugins, which Hydra executes again when it looks for them."""

import callbacks  # noqa: E402
import datamodules  # noqa: E402
import engine  # noqa: E402
import lightning_modules  # noqa: E402
import networks  # noqa: E402

for package in (callbacks, datamodules, engine, lightning_modules, networks):
    for found in walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.startswith(OF_HYDRA):
            import_module(found.name)
