"""Chunks are used only where nothing could notice: Lightning's callbacks give what they give in plain Lightning.

The plain run is `pytorch_lightning.Trainer` with a LightningModule as its documentation writes one, on the same network
and the same batches.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from pytorch_lightning import Callback, LightningModule, Trainer, callbacks
from pytorch_lightning.callbacks.progress import TQDMProgressBar
from torch import Tensor, nn

from callbacks.step_curves import StepCurves
from engine.build import build_module
from engine.data.chunk import Chunk
from engine.training.steps.chunks import single_steps_because
from lightning_modules.classifier import Classifier
from tests.conftest import Compose
from tests.noise import Noise, classifier, fit, noise, same, trainer

CHUNK, STEPS = 4, 11
Make = Callable[[Path], Callback]


class Network(nn.Module):
    """With a backbone and a head, for callbacks that treat them differently; nothing in it is drawn in training."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(4 * 36, 3)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(images))
        return logits


class PlainModule(LightningModule):
    def __init__(self, lr: float = 0.05) -> None:
        super().__init__()
        self.network, self.lr = Network(), lr

    @property
    def backbone(self) -> nn.Module:
        return self.network.backbone

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = nn.functional.cross_entropy(self.network(batch[0]), batch[1])
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", nn.functional.cross_entropy(self.network(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.SGD(trained, lr=self.lr, momentum=0.9, fused=True)


class BackboneClassifier(Classifier):
    @property
    def backbone(self) -> nn.Module:
        return self.network.backbone  # type: ignore[return-value]


class CountHooks(Callback):
    """Every hook around a batch, a backward pass and a step of the optimizer."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        assert not isinstance(batch, Chunk)
        self.calls["batch"] += 1

    def on_before_backward(self, *_: Any) -> None:
        self.calls["backward"] += 1

    def on_before_optimizer_step(self, *_: Any) -> None:
        self.calls["step"] += 1


class Noisy(Callback):
    """Changes the gradients, which a chunk would not let it."""

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for parameter in pl_module.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(0.5)


LIGHTNINGS: dict[str, Make] = {
    "EMAWeightAveraging": lambda _: callbacks.EMAWeightAveraging(decay=0.9),
    "WeightAveraging": lambda _: callbacks.WeightAveraging(),
    "StochasticWeightAveraging": lambda _: callbacks.StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=1),
    "ModelCheckpoint": lambda folder: callbacks.ModelCheckpoint(folder, every_n_train_steps=3, save_top_k=-1),
    "GradientAccumulationScheduler": lambda _: callbacks.GradientAccumulationScheduler({0: 1, 1: 3}),
    "BatchSizeFinder": lambda _: callbacks.BatchSizeFinder(max_trials=2, steps_per_trial=2),
    "LearningRateFinder": lambda _: callbacks.LearningRateFinder(num_training_steps=20, max_lr=0.1),
    "LearningRateMonitor": lambda _: callbacks.LearningRateMonitor("step"),
    "DeviceStatsMonitor": lambda _: callbacks.DeviceStatsMonitor(cpu_stats=False),
    "ThroughputMonitor": lambda _: callbacks.ThroughputMonitor(lambda batch: len(batch[0])),
    "Timer": lambda _: callbacks.Timer(duration={"hours": 1}),
    "RichModelSummary": lambda _: callbacks.RichModelSummary(),
    "BackboneFinetuning": lambda _: callbacks.BackboneFinetuning(1, train_bn=False),
    "ModelPruning": lambda _: callbacks.ModelPruning(
        "l1_unstructured", amount=0.3, use_lottery_ticket_hypothesis=False
    ),
    "LambdaCallback": lambda _: callbacks.LambdaCallback(on_after_backward=lambda trainer, module: module.zero_grad()),
    "EarlyStopping": lambda _: callbacks.EarlyStopping("val/loss", patience=1, stopping_threshold=0.0),
    "TQDMProgressBar": lambda _: TQDMProgressBar(),
    "Noisy": lambda _: Noisy(),
}
FOLLOW = {"EarlyStopping", "RichModelSummary", "BackboneFinetuning"}
"""Those that need no single steps."""


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The bits of a step depend on the number of threads, and chunks have one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(module: LightningModule, folder: Path, make: Make) -> tuple[Trainer, Noise, Callback]:
    callback = make(folder / "saved")
    settings: dict[str, Any] = {
        "max_epochs": 3,
        "log_every_n_steps": 1,
        "default_root_dir": folder,
        "callbacks": [callback],
        "enable_checkpointing": isinstance(callback, callbacks.Checkpoint),
        "enable_progress_bar": isinstance(callback, callbacks.ProgressBar),
    }
    fitted = trainer(folder, **settings)
    data = noise(CHUNK)
    fitted.fit(module, datamodule=data)
    return fitted, data, callback


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore:When using the `ThroughputMonitor`, you need to define a `flops_per_batch`")
@pytest.mark.parametrize("name", LIGHTNINGS)
def test_a_callback_gives_what_it_gives_in_plain_lightning(name: str, tmp_path: Path) -> None:
    plain = PlainModule()
    expected, data, plainly = run(plain, tmp_path / "plain", LIGHTNINGS[name])
    module = classifier(network=Network(), cls=BackboneClassifier)
    given, other, callback = run(module, tmp_path / "chunks", LIGHTNINGS[name])
    assert (module.single_steps_because is None) == (name in FOLLOW), module.single_steps_because
    if name not in FOLLOW:
        assert type(callback).__name__ in str(module.single_steps_because)
    assert given.global_step == expected.global_step > 0
    assert given.current_epoch == expected.current_epoch
    assert other.batch_size == data.batch_size
    assert same(plain.network.state_dict(), module.network.state_dict())
    rates = [[group["lr"] for group in fitted.optimizers[0].param_groups] for fitted in (given, expected)]
    assert rates[0] == rates[1]
    assert given.should_stop == expected.should_stop
    assert vars(callback).get("_samples") == vars(plainly).get("_samples"), "what ThroughputMonitor counts"
    files = [sorted(path.name for path in (tmp_path / run / "saved").glob("*")) for run in ("plain", "chunks")]
    assert files[0] == files[1]


def test_a_hook_sees_every_mini_batch_and_its_gradients() -> None:
    counting = CountHooks()
    fitted, weights = fit(CHUNK, callbacks=[counting])
    assert counting.calls == {"batch": 2 * STEPS, "backward": 2 * STEPS, "step": 2 * STEPS}
    assert fitted.num_training_batches == STEPS
    assert same(weights, fit(CHUNK)[1])
    assert not same(weights, fit(CHUNK, callbacks=[Noisy()])[1])


@pytest.mark.parametrize(
    "settings",
    [
        {"val_check_interval": 5},
        {"val_check_interval": 0.5},
        {"val_check_interval": 3, "check_val_every_n_epoch": None},
        {"limit_train_batches": 0.1},
        {"overfit_batches": 0.3},
        {"accumulate_grad_batches": 2},
        {"gradient_clip_val": 0.01},
        {"precision": "64-true"},
        {"max_time": "00:01:00:00"},
        {"min_steps": 30},
        {"profiler": "simple"},
        {"detect_anomaly": True},
        {"fast_dev_run": True},
    ],
    ids=str,
)
def test_a_setting_that_counts_batches_or_acts_on_them_means_mini_batches(settings: dict[str, Any]) -> None:
    module, counting = classifier(), Validations()
    fitted, weights = fit(CHUNK, module, callbacks=[counting], **settings)
    name = "Timer" if "max_time" in settings else "limit_train" if "fast_dev_run" in settings else next(iter(settings))
    assert name in str(module.single_steps_because)
    plain = Validations()
    expected, state = fit(1, callbacks=[plain], **settings)
    assert (fitted.global_step, counting.steps) == (expected.global_step, plain.steps)
    assert same(state, weights)


class Validations(Callback):
    """After which steps there was a validation. It needs no single steps."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.steps.append(trainer.global_step)


class LogsInCompute(Classifier):
    def compute(self, batch: Any) -> Any:
        outcome = super().compute(batch)
        self.log("train/mine", outcome.loss)
        return outcome


class TwoOptimizers(PlainModule):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(part.parameters(), lr=0.1) for part in (self.network.backbone, self.network.head)]

    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        for optimizer in self.optimizers():  # type: ignore[union-attr]
            optimizer.zero_grad()
            self.manual_backward(nn.functional.cross_entropy(self.network(batch[0]), batch[1]))
            optimizer.step()


class Halved(Noise):
    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch[0] / 2, batch[1]


class OwnCurves(StepCurves):
    """What a subclass overrides may look at batches, whatever its base does."""

    def on_train_batch_end(self, *args: Any) -> None:
        super().on_train_batch_end(*args)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (lambda: classifier(cls=LogsInCompute), "LogsInCompute.compute"),
        (TwoOptimizers, "TwoOptimizers is not a Procedure"),
        (lambda: classifier(optimizer=partial(torch.optim.LBFGS, lr=0.01)), "LBFGS needs a closure"),
        (lambda: classifier(optimizer=lambda groups: torch.optim.SGD(groups, 0.1)), "not one of torch's optimizers"),
    ],
)
def test_a_module_that_may_look_at_batches_is_trained_on_single_ones(module: Callable[[], Any], reason: str) -> None:
    made = module()
    fitted = trainer(max_epochs=1)
    assert reason in str(single_steps_because(fitted, made, noise(CHUNK)))
    fitted.fit(made, datamodule=noise(CHUNK))
    assert fitted.num_training_batches == STEPS


def test_transfer_hooks_and_subclasses_of_callbacks_see_single_batches() -> None:
    data = noise(CHUNK)
    data.__class__ = Halved
    assert "Halved.on_after_batch_transfer" in str(single_steps_because(trainer(), classifier(), data))
    for callback, reason in ((OwnCurves(), "OwnCurves.on_train_batch_end"), (StepCurves(), "None")):
        assert reason in str(single_steps_because(trainer(callbacks=[callback]), classifier(), noise(CHUNK)))


@pytest.mark.parametrize(
    "name", ["cifar10_net", "lenet_nll", "lenet_mse", "multilabel_bce", "regression_two_layer_net", "regression_adam"]
)
def test_the_experiments_of_short_steps_train_in_chunks(name: str, compose: Compose, tmp_path: Path) -> None:
    cfg = compose(f"experiment={name}", "trainer=cpu", run_dir=tmp_path)
    made = [instantiate(callback) for callback in cfg.callback.values()]
    module = build_module(cfg, instantiate(cfg.network))
    data = SimpleNamespace(chunk=cfg.datamodule.chunk)
    assert cfg.datamodule.chunk > 1
    assert single_steps_because(instantiate(cfg.trainer, callbacks=made, logger=False), module, data) is None
