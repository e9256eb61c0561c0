"""The part of a run's config that messages about failures refer to."""

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf


@pytest.fixture
def cfg(tmp_path: Path) -> DictConfig:
    settings = {"batch_size": 128, "eval_batch_size": 500, "num_workers": 2, "seed": 0}
    return OmegaConf.create({"run_dir": str(tmp_path), "datamodule": settings})
