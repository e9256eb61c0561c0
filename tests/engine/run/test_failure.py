"""What torch, Lightning and the loggers' packages raise, as one sentence each."""

import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning import Trainer, callbacks
from pytorch_lightning.demos.boring_classes import BoringModel
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import DataLoader

from engine.errors import DataError, DivergenceError, UserError, WeightsError
from engine.run.failure import for_the_user, sentence
from tests.engine.run.raising import raised, reject


@pytest.mark.parametrize("error", [DataError("no: data."), WeightsError("no weights."), UserError("a mistake.")])
def test_a_sentence_is_told_as_it_is(error: Exception) -> None:
    assert sentence(error) == str(error)
    with pytest.raises(UserError) as caught, for_the_user():
        raise error
    assert str(caught.value) == str(error)


def test_a_loss_that_is_no_number_is_told() -> None:
    error = DivergenceError(torch.tensor([1.0, float("nan")]), 7, [0.1])
    assert "nan at step 7" in str(sentence(error))


def test_a_single_example_and_batchnorm() -> None:
    error = raised(lambda: torch.nn.BatchNorm1d(3)(torch.zeros(1, 3)))
    assert "BatchNorm cannot normalize: give a datamodule.batch_size" in str(sentence(error))


def test_what_lightning_refuses_amid_a_run_is_one_sentence(tmp_path: Path) -> None:
    trainer = Trainer(accelerator="cpu", max_epochs=1, limit_train_batches=0.1, logger=False, default_root_dir=tmp_path)
    error = raised(lambda: trainer.fit(BoringModel(), DataLoader(torch.zeros(2, 32))))
    told = str(sentence(error))
    assert told.startswith("Lightning refuses this: You requested to check 0.1 of the `train_dataloader`")
    assert "\n" not in told


@pytest.mark.parametrize(
    ("raise_", "says"),
    [
        (lambda: __import__("no_such_package.part"), "There is no module no_such_package: install the package that"),
        (lambda: __import__("torch.no_such_part"), "None"),  # a bug
        (lambda: require_psutil(), "`X` needs `psutil`. HINT: pip install psutil"),
        (
            lambda: callbacks.BackboneFinetuning().freeze_before_training(BoringModel()),
            "BackboneFinetuning needs a LightningModule with the attribute backbone; BoringModel has none.",
        ),
        (
            lambda: instantiate({"_target_": "torch.nn.Linear", "in_features": 3}),
            "torch.nn.modules.linear.Linear: Linear.__init__() missing 1 required positional argument: 'out_features'.",
        ),
        (lambda: torch.nn.Linear(3, 4, x=5), "None"),  # type: ignore[call-arg]
        (lambda: connect_at_a_taken_port(), "The training's processes cannot connect ("),
        (lambda: BoringModel().backbone, "None"),  # of the user's own code
        (
            lambda: callbacks.EarlyStopping("val/x", strict=True)._validate_condition_metric({"a": torch.ones(1)}),
            "Early stopping conditioned on metric `val/x` which is not available. Pass in or modify your "
            "`EarlyStopping` callback to use any of the following: `a`",
        ),
    ],
)
def test_what_a_part_lacks(raise_: Callable[[], Any], says: str) -> None:
    assert str(sentence(raised(raise_))).startswith(says)


def test_a_logger_of_lightnings_that_fails_is_named(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=0)
    error = raised(lambda: logger.log_metrics({"loss": 1.0}, 3))
    told = "Lightning's CSVLogger failed (ZeroDivisionError: integer modulo by zero); debug=trace shows where."
    assert sentence(error) == told


def connect_at_a_taken_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        torch.distributed.init_process_group("gloo", address, timeout=timedelta(seconds=20), world_size=2, rank=0)


def require_psutil() -> None:
    raise ModuleNotFoundError("`X` needs `psutil`.\n HINT: pip install psutil")


def test_an_error_of_the_program_keeps_its_traceback() -> None:
    for error in (ValueError("no"), RuntimeError("mat1 and mat2 shapes cannot be multiplied"), KeyError("x")):
        assert sentence(error) is None
        with pytest.raises(type(error)), for_the_user():
            raise error


def test_what_a_class_raised_is_told_without_hydras_cover(cfg: DictConfig) -> None:
    target = {"_target_": f"{__name__}.{reject.__name__}"}
    covered = raised(lambda: instantiate({"_target_": "builtins.eval", "_args_": ["1/0"]}))
    assert isinstance(covered, InstantiationException)
    assert sentence(covered) is None
    cover = InstantiationException(str(target))
    cover.__cause__ = DataError("photo.jpg is no image.")
    assert sentence(cover) == "photo.jpg is no image."


def test_a_missing_file_of_the_program_keeps_its_traceback(tmp_path: Path) -> None:
    assert sentence(raised(lambda: (tmp_path / "none").read_text())) is None


def test_what_is_no_exception_goes_through() -> None:
    for stop in (KeyboardInterrupt(), SystemExit(3)):
        with pytest.raises(type(stop)), for_the_user():
            raise stop
