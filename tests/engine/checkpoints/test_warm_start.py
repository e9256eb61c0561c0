from pathlib import Path

import pytest
import torch
from pytorch_lightning import LightningModule
from torch import nn

from engine.checkpoints.checkpoint_io import AtomicCheckpointIO
from engine.checkpoints.warm_start import start_from
from engine.errors import UserError
from tests.noise import classifier


class Autoencoder(LightningModule):
    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.network, self.decoder = nn.Linear(4, 2), nn.Linear(width, 4)


def saved(module: LightningModule, run: Path) -> Path:
    (run / "checkpoints").mkdir(parents=True)
    AtomicCheckpointIO().save_checkpoint({"state_dict": module.state_dict()}, run / "checkpoints" / "last.ckpt")
    return run


def test_all_layers_of_a_module_that_is_no_procedure(tmp_path: Path) -> None:
    theirs, ours = Autoencoder(), Autoencoder()
    start_from(ours, saved(theirs, tmp_path))
    assert torch.equal(ours.network.weight, theirs.network.weight)
    assert torch.equal(ours.decoder.weight, theirs.decoder.weight)
    with pytest.raises(UserError, match=r"another architecture: decoder\.weight is \(4, 2\) in the checkpoint"):
        start_from(Autoencoder(width=3), tmp_path)


def test_the_network_of_a_procedure(tmp_path: Path) -> None:
    theirs, ours = classifier(), classifier(num_classes=3)
    with torch.no_grad():
        theirs.network[-1].weight.add_(1)
    start_from(ours, saved(theirs, tmp_path))
    assert torch.equal(ours.network[-1].weight, theirs.network[-1].weight)
