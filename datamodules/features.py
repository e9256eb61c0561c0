"""The features of an image folder's photos in the place of the photos: what a frozen backbone gives never changes."""

import time
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from datamodules.feature_cache import cached_arrays, files_digest, state_digest
from datamodules.image_folder import ImageFolder, Photos
from datamodules.images import read_image
from datamodules.normalization import normalize
from datamodules.tensor_loader import TensorDataLoader
from functional.keyed import keyed_rng

logger = logging.getLogger(__name__)


class Views(Dataset[Tensor]):
    """Item i: photo i in `views` looks, decoded once: (views, 3, H, W) uint8. Look v is the one of epoch v."""

    def __init__(self, photos: Photos, views: int) -> None:
        self.photos = photos
        self.views = views

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Tensor:
        return self.photos.looks(index, range(self.views))


class Features(LightningDataModule):
    """Training features (N, views, D) and validation features (N, D) of `photos`, with the labels.

    Epoch e trains on view e mod `views` of each photo. The view is drawn as the plain path draws epoch e's look with
    the seed `view_seed`, so with as many views as epochs both see the same pictures.
    """

    has_test = False

    def __init__(
        self,
        *,
        photos: ImageFolder,
        extract: Callable[[Tensor], Tensor],
        num_features: int,
        key: dict[str, Any],
        cache_dir: str,
        views: int,
        view_seed: int,
        batch_size: int,
        chunk: int,
    ) -> None:
        super().__init__()
        self.photos = photos
        self.extract = extract
        self.num_features = num_features
        self.key = key
        self.cache_dir = Path(cache_dir)
        self.views = views
        self.view_seed = view_seed
        self.batch_size = batch_size
        self.chunk = chunk
        self.features: dict[str, Tensor] = {}

    def __getattr__(self, name: str) -> Any:
        # Names, counts, labels and thumbnails are the photos' own.
        return getattr(self.__dict__["photos"], name)
