from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from callbacks.hyper_parameters import HyperParameters, flatten, summaries
from engine.pages.curves import read_logged


def test_flatten() -> None:
    adam = {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.1, "betas": [0.9, 0.99], "fused": True}
    settings = {"seed": 1, "optimizer": adam, "scheduler": None, "datamodule": {"data_dir": "somewhere"}}
    assert flatten(settings) == {
        "seed": 1,
        "optimizer": "Adam",
        "optimizer.lr": 0.1,
        "optimizer.betas": "[0.9, 0.99]",
        "optimizer.fused": True,
    }


class Logger:
    def __init__(self) -> None:
        self.metrics: list[tuple[dict[str, float], int]] = []
        self.settings: dict[str, Any] = {}

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.metrics.append((metrics, step))

    def log_hyperparams(self, settings: dict[str, Any]) -> None:
        self.settings = settings


def trainer(**changes: Any) -> Any:
    return SimpleNamespace(
        **{
            "callback_metrics": {},
            "sanity_checking": False,
            "global_step": 0,
            "enable_validation": True,
            "loggers": [Logger()],
        }
        | changes
    )


@pytest.mark.parametrize(("mode", "best"), [("max", [0.5, 0.7, 0.7]), ("min", [0.5, 0.5, 0.6 - 0.2])])
def test_best_so_far_is_logged_after_each_validation(mode: str, best: list[float]) -> None:
    callback, fake, module = HyperParameters(metric="val/acc", mode=mode, swept={}), trainer(), None
    for step, value in enumerate([0.5, 0.7, 0.4]):
        fake.callback_metrics, fake.global_step = {"val/acc": value}, step
        callback.on_validation_end(fake, module)  # type: ignore[arg-type]
    assert [(m["best/val/acc"], step) for m, step in fake.loggers[0].metrics] == [
        (pytest.approx(value), step) for step, value in enumerate(best)
    ]


def test_sanity_check_and_missing_metric_are_passed_over() -> None:
    callback, module = HyperParameters(metric="val/acc", mode="max", swept={}), None
    for fake in (trainer(), trainer(callback_metrics={"val/acc": 0.9}, sanity_checking=True)):
        callback.on_validation_end(fake, module)  # type: ignore[arg-type]
        assert not fake.loggers[0].metrics
    assert callback.best is None


def test_best_survives_a_resume() -> None:
    first, second = (HyperParameters(metric="a", mode="max", swept={}) for _ in range(2))
    module = None
    first.on_validation_end(trainer(callback_metrics={"a": 0.8}), module)  # type: ignore[arg-type]
    second.load_state_dict(first.state_dict())
    fake = trainer(callback_metrics={"a": 0.6})
    second.on_validation_end(fake, module)  # type: ignore[arg-type]
    assert fake.loggers[0].metrics == [({"best/a": 0.8}, 0)]


def test_a_run_alone_has_no_hparams(events: EventAccumulator, run_dir: Path) -> None:
    assert not [name for name in events.summary_metadata if "hparams" in name]
    assert not (run_dir / "hparams.yaml").exists()


def test_columns_of_a_sweep() -> None:
    experiment, session = summaries({"optimizer.lr": 0.1, "scheduler": None}, ["best/val/acc", "val/acc", "val/loss"])
    content = HParamsPluginData.FromString(experiment.value[0].metadata.plugin_data.content).experiment
    assert [(info.name, info.differs) for info in content.hparam_infos] == [("optimizer.lr", True), ("scheduler", True)]
    assert {info.name.tag: info.display_name for info in content.metric_infos} == {
        "result/best/val/acc": "best/val/acc",
        "curves/val/acc": "val/acc",
        "curves/val/loss": "val/loss",
    }
    values = HParamsPluginData.FromString(session.value[0].metadata.plugin_data.content).session_start_info.hparams
    assert values["scheduler"].string_value == "null"


def test_metric_is_the_runs_best_and_not_a_placeholder(run_dir: Path) -> None:
    curves = read_logged(run_dir).curves
    accuracies = list(curves["val/acc"].values())
    assert curves["best/val/acc"] == {4 * n: max(accuracies[:n]) for n in (1, 2, 3)}
    assert not [name for name in curves if "hp_metric" in name]


def test_what_a_sweep_varies_has_a_column_whatever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    swept = {"trainer.gradient_clip_val": 0.5, "network": "resnet18", "cache": None}
    callback, logger = HyperParameters(metric="a", mode="max", swept=swept), Logger()
    hparams = {"network": {"_target_": "networks.resnet18.ResNet18"}, "trainer": {"precision": "32", "max_epochs": 1}}
    module = SimpleNamespace(hparams=hparams)
    callback.on_fit_start(trainer(is_global_zero=True, loggers=[logger]), module)  # type: ignore[arg-type]
    assert logger.settings == {
        "network": "resnet18",
        "trainer.precision": "32",
        "trainer.max_epochs": 1,
        "trainer.gradient_clip_val": 0.5,
        "cache": "null",
    }
