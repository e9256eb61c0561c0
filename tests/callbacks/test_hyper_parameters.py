from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from callbacks.hyper_parameters import HyperParameters, flatten


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
        **{"callback_metrics": {}, "sanity_checking": False, "global_step": 0, "loggers": [Logger()]} | changes
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


def test_hparams_tab_has_settings_and_metric(events: EventAccumulator) -> None:
    contents = events.summary_metadata
    start = HParamsPluginData.FromString(contents["_hparams_/session_start_info"].plugin_data.content)
    settings = start.session_start_info.hparams
    assert settings["seed"].number_value == 5
    assert settings["optimizer.lr"].number_value == 0.01
    assert settings["network"].string_value == "ResNet18"
    assert settings["trainer.max_epochs"].number_value == 3
    experiment = HParamsPluginData.FromString(contents["_hparams_/experiment"].plugin_data.content).experiment
    assert [info.name.tag for info in experiment.metric_infos] == ["best/val/acc"]


def test_metric_is_the_runs_best_and_not_a_placeholder(events: EventAccumulator) -> None:
    accuracies = [scalar.value for scalar in events.Scalars("val/acc")]
    best = events.Scalars("best/val/acc")
    assert len(accuracies) == 3
    assert [scalar.value for scalar in best] == [max(accuracies[: n + 1]) for n in range(3)]
    assert [scalar.step for scalar in best] == [4, 8, 12]
    assert "hp_metric" not in events.Tags()["scalars"]


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
