from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from callbacks.unfreezing import Unfreezing
from engine.checkpoints.exact_state import ExactState
from engine.checkpoints.last_checkpoint import LastCheckpoint
from engine.errors import UserError
from tests.noise import classifier, fit, noise, same, trainer

STAGES = (r"^network\.5", r"^network\.1", ".")  # the head, the BatchNorm, the convolution
PART = {"network.0": 2, "network.1": 1, "network.5": 0}


class States(Callback):
    """The state before training, and after each epoch."""

    follows_chunks = True

    def __init__(self) -> None:
        self.all: list[dict[str, Tensor]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_train_epoch_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.all.append({name: tensor.clone() for name, tensor in pl_module.state_dict().items() if "network" in name})


def unfreezing(**changes: Any) -> Unfreezing:
    return Unfreezing(**{"stages": STAGES, "epochs": 2, **changes})


@pytest.mark.parametrize("chunk", [1, 4])
def test_each_part_moves_from_its_stage_on(chunk: int) -> None:
    states = States()
    fit(chunk, max_epochs=6, callbacks=[unfreezing(), states])
    for epoch, (before, after) in enumerate(zip(states.all, states.all[1:], strict=False)):
        for name in before:
            moved = not torch.equal(before[name], after[name])
            assert moved == (epoch // 2 >= PART[name[:9]]), (epoch, name)


def test_frozen_batchnorm_stays_frozen_when_its_weights_train() -> None:
    states = States()
    fit(1, classifier(freeze_batchnorm=True), max_epochs=4, callbacks=[unfreezing(), states])
    assert torch.equal(states.all[0]["network.1.running_mean"], states.all[-1]["network.1.running_mean"])
    assert not torch.equal(states.all[0]["network.1.weight"], states.all[-1]["network.1.weight"])


def test_everything_trains_again_afterwards() -> None:
    fitted, _ = fit(1, max_epochs=1, callbacks=[unfreezing()])
    assert all(parameter.requires_grad for parameter in fitted.lightning_module.parameters())


class KillError(Exception):
    pass


class Kill(Callback):
    """Ends the training before its 30th step."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == 29:
            raise KillError


@pytest.mark.parametrize("steps", [11, 27])  # at the end of an epoch, and inside the third
def test_a_resumed_training_goes_on_in_the_same_stage(steps: int, tmp_path: Path) -> None:
    _, straight = fit(1, max_epochs=4, callbacks=[unfreezing()])

    def callbacks() -> list[Callback]:
        kept = LastCheckpoint(dirpath=tmp_path, every_n_epochs=1, min_seconds=0, every_n_train_steps=steps)
        return [unfreezing(), kept]

    with pytest.raises(KillError):
        fit(1, max_epochs=4, callbacks=[ExactState(), *callbacks(), Kill()])
    module = classifier()
    resumed = trainer(max_epochs=4, callbacks=[ExactState(), *callbacks()])
    resumed.fit(module, noise(1), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert same(straight, module.state_dict())


def test_a_stage_that_matches_nothing() -> None:
    with pytest.raises(UserError, match=r"'tail' matches no trained parameter; there are network\.0\.weight, "):
        fit(1, callbacks=[unfreezing(stages=["tail"])])
