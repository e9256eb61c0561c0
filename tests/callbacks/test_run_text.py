import json
from types import SimpleNamespace
from typing import Any

from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks.run_text import RunText


def text(events: EventAccumulator, tag: str) -> str:
    (event,) = events.Tensors(f"{tag}/text_summary")
    return str(event.tensor_proto.string_val[0].decode())


def test_config_is_there_and_notices_are_not(events: EventAccumulator) -> None:
    config = json.loads(text(events, "config").removeprefix("```json\n").removesuffix("\n```"))
    assert config["seed"] == 5
    assert config["optimizer"]["lr"] == 0.01
    assert "notice/text_summary" not in events.Tags()["tensors"]


def test_notices_stand_out(tmp_path) -> None:
    logger = TensorBoardLogger(tmp_path, "", "")
    module: Any = SimpleNamespace(hparams={"notices": ["STAND-IN DATA: drawn.", "SUBSTITUTE WEIGHTS: others."]})
    trainer: Any = SimpleNamespace(loggers=[CSVLogger(tmp_path, "csv"), logger])
    RunText().on_fit_start(trainer, module)
    logger.finalize("success")
    events = EventAccumulator(str(tmp_path)).Reload()
    assert text(events, "notice") == "**STAND-IN DATA: drawn.**\n\n**SUBSTITUTE WEIGHTS: others.**"
