import re
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

from callbacks.charts import Charts


def charts(events: EventAccumulator) -> dict[tuple[str, str], list[str]]:
    """The regular expressions of each chart, by its group and name, as TensorBoard reads them."""
    (event,) = events.Tensors("custom_scalars__config__")
    layout = Layout.FromString(event.tensor_proto.string_val[0])
    return {(group.title, chart.title): list(chart.multiline.tag) for group in layout.category for chart in group.chart}


def test_training_and_validation_share_a_chart(events: EventAccumulator) -> None:
    found, curves = charts(events), events.Tags()["scalars"]

    def curves_of(group: str, chart: str) -> list[str]:
        (pattern,) = found[group, chart]
        return sorted(tag for tag in curves if re.match(pattern, tag))  # as TensorBoard does

    for name in ("loss", "acc"):
        assert curves_of("training and validation", name) == [f"train/{name}", f"val/{name}"]
    assert curves_of("each class", "acc") == ["val/acc_ants", "val/acc_bees"]
    assert curves_of("optimization", "learning rate") == ["train/lr"]
    assert curves_of("optimization", "gradient norm") == ["train/grad_norm"]
    assert curves_of("optimization", "images per second") == ["train/images_per_second"]


def test_a_resumed_run_has_them_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callbacks.charts.tensorboard_loggers", lambda trainer: pytest.fail("written again"))
    trainer: Any = SimpleNamespace(ckpt_path="last.ckpt")
    module: Any = None
    Charts().on_fit_start(trainer, module)
