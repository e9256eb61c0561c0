"""Checkpoints whose states are of another form than what they are loaded into: one sentence, before a step is trained.

Lightning and PyTorch load them as they are, and fail in the middle of the training, or never.
"""

import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.checkpoints.alike import require_alike, require_fitting
from engine.checkpoints.checkpoint_io import AtomicCheckpointIO, load_checkpoint
from engine.errors import UserError
from engine.run.trained import load_trained
from tests.conftest import Train

EVERYTHING = (
    *("experiment=lenet_nll", "trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=0.1"),
    *("callback=[plain,early_stopping,lookahead]", "scheduler=plateau", "optimizer.momentum=0.9"),
)


@pytest.fixture(scope="module")
def trained(train_here: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_here(tmp_path_factory.mktemp("trained"), *EVERYTHING)


def loop(content: dict[str, Any]) -> Any:
    return content["loops"]["fit_loop"]


def counts(content: dict[str, Any]) -> Any:
    return loop(content)["epoch_progress"]["current"]


def stopping(content: dict[str, Any]) -> Any:
    return next(state for key, state in content["callbacks"].items() if key.startswith("EarlyStopping"))


def best(content: dict[str, Any]) -> Any:
    return next(state for key, state in content["callbacks"].items() if key.startswith("Checkpoint"))


ATTACKS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "an epoch of 10^12": lambda c: c.update(epoch=10**12),
    "10^12 completed epochs": lambda c: counts(c).update(completed=10**12),
    "10^12 epochs that were begun": lambda c: counts(c).update(ready=10**12),
    "10^12 steps": lambda c: c.update(global_step=10**12),
    "a missing total": lambda c: loop(c)["epoch_progress"]["total"].pop("ready"),
    "more than in total": lambda c: loop(c)["epoch_loop.scheduler_progress"]["current"].update(ready=10**6),
    "a text as patience": lambda c: stopping(c).update(wait_count="x"),
    "no number as patience": lambda c: stopping(c).update(wait_count=None),
    "three best scores": lambda c: stopping(c).update(best_score=torch.ones(3)),
    "a table as path": lambda c: best(c).update(kth_best_model_path={"x": 1}, best_model_path=[1]),
    "a text as best score": lambda c: best(c).update(best_model_score="x"),
    "scores as best score": lambda c: best(c).update(best_model_score=torch.ones(3)),
    "a text as best of all": lambda c: c["callbacks"]["HyperParameters"].update(best="x"),
    "a number beyond all counts": lambda c: c["callbacks"]["Lookahead"].update(step=10**30),
    "a text as count": lambda c: counts(c).update(ready="x"),
    "a text as total": lambda c: loop(c)["epoch_loop.scheduler_progress"]["total"].update(ready="x"),
    "a tensor of metrics": lambda c: c["procedure"].update(metrics=torch.ones(2, 2)),
    "a list of best": lambda c: best(c).update(best_k_models=["x"]),
    "a plain number as best score": lambda c: stopping(c).update(best_score=-5),
    "a text as factor": lambda c: c["lr_schedulers"][0].update(factor="x"),
    "a text as learning rate": lambda c: c["optimizer_states"][0]["param_groups"][0].update(lr="x"),
    "no state of the optimizer": lambda c: c["optimizer_states"].clear(),
    "no state of the scheduler": lambda c: c["lr_schedulers"].clear(),
    "no learning rate": lambda c: c["optimizer_states"][0]["param_groups"][0].pop("lr"),
    "momentum of another shape": lambda c: c["optimizer_states"][0]["state"][0].update(momentum_buffer=torch.ones(3)),
    "another network's average": lambda c: c["callbacks"]["Lookahead"]["average"].popitem(),
    "a generator's state": lambda c: c["exact"]["random"].update(torch="x"),
    "another generator's state": lambda c: c["exact"]["random"].update(python=(3, (1,) * 5, None)),
    "no generators": lambda c: c["exact"].pop("random"),
    "a text as state of the training": lambda c: c.update(exact="x"),
    "sums": lambda c: c["procedure"].update(sums={"train": 1}),
    "three sums": lambda c: c["procedure"].update(sums=torch.ones(3)),
    "losses in rows": lambda c: c["procedure"].update(losses=torch.ones(2, 2)),
    "an input of 10^45 values": lambda c: c["hyper_parameters"]["data"].update(input_shape=[10**9] * 5),
    "classes that are no names": lambda c: c["hyper_parameters"]["data"].update(classes=[1, 2]),
    "gradients": lambda c: c["exact"].update(gradients={"network.head.bias": torch.ones(3)}),
    "a tensor of what was logged": lambda c: c["procedure"].update(logged=torch.ones(2)),
    "logged texts": lambda c: c["procedure"]["logged"].update({"val/loss": "[/red]"}),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_is_one_sentence(attack: str, trained: Path, train_here: Train, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(trained, tmp_path / "run"))
    last = directory / "checkpoints" / "last.ckpt"
    content = load_checkpoint(last)
    ATTACKS[attack](content)
    AtomicCheckpointIO().save_checkpoint(content, last)
    saved = last.read_bytes()
    before = random.getstate()
    with pytest.raises(UserError, match=r"cannot be restored|is refused|not of this network|was modified"):
        train_here(tmp_path, f"resume={directory}", "trainer.max_epochs=2")
    random.setstate(before)
    assert last.read_bytes() == saved


@pytest.mark.parametrize(
    "part", ["state_dict", "hyper_parameters", "epoch", "procedure", "exact", "callbacks", "loops"]
)
def test_a_missing_part_is_one_sentence(part: str, trained: Path, train_here: Train, tmp_path: Path) -> None:
    """Wherever it is needed: to load the run, to start from it, to continue it, at the end of what continues it."""
    directory = Path(shutil.copytree(trained, tmp_path / "run"))
    for name in ("best.ckpt", "last.ckpt"):
        file = directory / "checkpoints" / name
        content = load_checkpoint(file)
        del content[part]
        AtomicCheckpointIO().save_checkpoint(content, file)
        if name == "best.ckpt":  # it stays the best
            with suppress(UserError):
                train_here(tmp_path, f"resume={directory}", "trainer.max_epochs=2", "optimizer.lr=1e-30")
        with suppress(UserError):
            load_trained(directory, file.stem).load_network()
        (tmp_path / name).mkdir()
        with suppress(UserError):
            train_here(tmp_path / name, *EVERYTHING, f"init_from={directory}")
    with suppress(UserError):
        train_here(tmp_path, f"resume={directory}", "trainer.max_epochs=3")


def test_what_grows_or_is_not_there_yet_fits(train_here: Train, trained: Path, tmp_path: Path) -> None:
    """A best score that was None, numbers in other types, and states of classes that nobody here knows."""

    class Foreign:
        def state_dict(self) -> dict[str, Any]:
            return {"seen": 0}

    class Ours(Foreign):
        __module__ = "callbacks.mine"

        def state_dict(self) -> dict[str, Any]:
            return {"average": None, "best": None, "rate": 0.1, "pair": (1, 2), "seen": {}}

    require_alike({"seen": "all"}, Foreign(), "callbacks.Foreign")
    require_alike(
        {"average": torch.ones(2), "best": 0.5, "rate": torch.tensor(1), "pair": [3], "seen": {"a": 1}},
        Ours(),
        "callbacks.Ours",
    )
    with pytest.raises(UserError, match=r"callbacks.Ours.pair.1 is x, but should be a single number"):
        require_alike({"pair": [3, "x"]}, Ours(), "callbacks.Ours")


def test_states_of_parameters_that_come_later() -> None:
    """Of layers that a callback unfreezes, and FSDP's, which have names."""
    optimizer = torch.optim.SGD([torch.ones(2)], lr=0.1)
    require_fitting({0: {"momentum_buffer": torch.ones(2)}, 5: {"momentum_buffer": torch.ones(9)}}, optimizer)
    require_fitting({"network.weight": {"momentum_buffer": torch.ones(9)}}, optimizer)
    with pytest.raises(UserError, match=r"optimizer_states.state.0.momentum_buffer has the shape \(9,\), but"):
        require_fitting({0: {"momentum_buffer": torch.ones(9)}}, optimizer)
