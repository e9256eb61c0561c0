"""Writes a run's page: at the end of its training, or later from its directory."""

import sys
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import OmegaConf

from engine.config.sweep_job import in_sweep
from engine.errors import UserError, printable
from engine.paths import typed
from engine.report.predictions import Collector
from engine.run.outcome import outcome
from engine.run.record import Record
from engine.run.trained import load_config
from engine.startup import collecting_nothing
from engine.training.accounted_module import AccountedModule

NAME = "report.html"


def report_at_end(record: Record) -> None:
    """The page of a run that has just ended; none in a sweep. If it cannot be written, one line says why."""
    if not record.is_first_process or in_sweep():
        return
    with collecting_nothing():
        _try_to_report(record)


def _try_to_report(record: Record) -> None:
    try:
        from engine.report.facts import Facts
        from engine.report.page import write_page

        collector = next(callback for callback in record.trainer.callbacks if isinstance(callback, Collector))
        _validate_again(record, collector)
        config = OmegaConf.to_container(OmegaConf.load(record.directory / "config.yaml"))
        assert isinstance(config, dict)
        print(printable(f"report    {typed(write_page(Facts(record.directory, config, collector)))}"))
    except Exception as error:  # the run itself has ended well
        reason = printable(error).partition("\n")[0]
        print(f"{NAME} could not be written ({type(error).__name__}: {reason}).", file=sys.stderr)


def _validate_again(record: Record, collector: Collector) -> None:
    """One validation with the weights of the best epoch, if there was no test; it is logged nowhere."""
    trainer = record.trainer
    if collector.predictions() is not None or trainer.world_size > 1 or not sum(trainer.num_val_batches):
        return
    if not isinstance(trainer.lightning_module, AccountedModule):  # its steps may log, or count on a training
        return
    quiet = instantiate(
        record.cfg.trainer,
        logger=False,
        enable_checkpointing=False,
        profiler=None,
        callbacks=[collector],
        enable_progress_bar=False,
    )
    quiet.validate(trainer.lightning_module, trainer.datamodule, verbose=False)


def report(directory: Path) -> Path:
    """Writes the page of the run in `directory`.

    UserError where there is no run, or its config is refused (engine/run/allowlist.py).
    """
    from engine.report.facts import Facts
    from engine.report.page import write_page
    from engine.results.evaluation import evaluate

    config = OmegaConf.to_container(load_config(directory), resolve=False)
    assert isinstance(config, dict)
    collector, known, missing = Collector(), outcome(directory), None
    split = "test" if any(name.startswith("test/") for name in known) else "val"
    checkpoint = "last" if known.get("best/epoch") is None else "best"
    try:
        evaluate(directory, split=split, checkpoint=checkpoint, overrides=(), callbacks=(collector,))
    except UserError as error:
        missing = f"What the network predicts is not shown: {error}"
    return write_page(Facts(directory, config, collector, missing))
