"""Writes a run's page: at the end of its training, or later from its directory."""

import sys
from pathlib import Path

from hydra.utils import instantiate

from engine.config.sweep_job import in_sweep
from engine.errors import UserError, printable
from engine.report.predictions import Collector
from engine.run.outcome import outcome
from engine.run.record import Record
from engine.startup import collecting_nothing


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
        print(printable(f"report    {write_page(Facts.collected(record.directory, collector))}"))
    except Exception as error:  # the run itself has ended well
        reason = printable(error).partition("\n")[0] or type(error).__name__
        print(printable(f"report.html could not be written ({type(error).__name__}: {reason})."), file=sys.stderr)


def _validate_again(record: Record, collector: Collector) -> None:
    """One validation with the weights of the best epoch, if there was no test; it is logged nowhere."""
    trainer = record.trainer
    if collector.predictions() is not None or trainer.world_size > 1 or not sum(trainer.num_val_batches):
        return
    module, datamodule = trainer.lightning_module, trainer.datamodule
    quiet = instantiate(
        record.cfg.trainer,
        logger=False,
        enable_checkpointing=False,
        profiler=None,
        callbacks=[collector],
        enable_progress_bar=False,
    )
    quiet.validate(module, datamodule, verbose=False)


def report(directory: Path) -> Path:
    """Writes the page of the run in `directory`. UserError where there is no run."""
    from engine.report.facts import Facts
    from engine.report.page import write_page
    from engine.results.evaluation import evaluate

    found = Facts(directory)  # first, as it checks the directory
    collector = Collector()
    epoch = outcome(directory).get("best/epoch")
    split = "test" if any(name.startswith("test/") for name in found.outcome) else "val"
    try:
        evaluate(
            directory,
            split=split,
            checkpoint="last" if epoch is None else "best",
            overrides=(),
            callbacks=(collector,),
        )
    except UserError as error:
        found.missing = f"What the network predicts is not shown: {error}"
    found.datamodule, found.predictions = collector.datamodule, collector.predictions()
    return write_page(found)
