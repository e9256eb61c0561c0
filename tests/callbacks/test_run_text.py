import json
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks.run_text import RunText, how_to_repeat
from engine.loggers.csv_logger import CSVLogger


def text(events: EventAccumulator, tag: str) -> str:
    (event,) = events.Tensors(f"{tag}/text_summary")
    return str(event.tensor_proto.string_val[0].decode())


def test_config_is_there_and_notices_are_not(events: EventAccumulator) -> None:
    config = json.loads(text(events, "config").removeprefix("```json\n").removesuffix("\n```"))
    assert config["seed"] == 5
    assert config["optimizer"]["lr"] == 0.01
    assert "notice/text_summary" not in events.Tags()["tensors"]


def test_how_to_repeat_the_run(events: EventAccumulator, run_dir: Path) -> None:
    lines = [line.strip() for line in text(events, "reproduce").splitlines() if line.startswith("    ")]
    started, again = (shlex.split(line) for line in lines)
    assert started[:2] == again[:2] == ["python", "train.py"]
    assert {"seed=5", "optimizer.lr=0.01", "trainer.max_epochs=3"} <= set(started[2:])
    # tests/test_train_resume.py repeats a run that way.
    assert again[2:] == ["--config-path", str(run_dir), "--config-name", "config", "hydra.run.dir=NEW_DIR"]


def test_a_run_without_hydras_notes(tmp_path: Path) -> None:
    assert "\n    python train.py\n" in how_to_repeat(tmp_path)


def test_a_resumed_run_has_its_texts_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callbacks.run_text.tensorboard_loggers", lambda trainer: pytest.fail("written again"))
    trainer: Any = SimpleNamespace(ckpt_path="last.ckpt")
    module: Any = None
    RunText().on_fit_start(trainer, module)


def test_notices_stand_out(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, "", "")
    module: Any = SimpleNamespace(hparams={"notices": ["STAND-IN DATA: drawn.", "SUBSTITUTE WEIGHTS: others."]})
    trainer: Any = SimpleNamespace(
        loggers=[CSVLogger(save_dir=str(tmp_path)), logger],
        is_global_zero=True,
        ckpt_path=None,
        default_root_dir=str(tmp_path),
    )
    RunText().on_fit_start(trainer, module)
    logger.finalize("success")
    events = EventAccumulator(str(tmp_path)).Reload()
    assert text(events, "notice") == "**STAND-IN DATA: drawn.**\n\n**SUBSTITUTE WEIGHTS: others.**"
