"""Writes a run's report: at the end of training, or later from its directory."""

import sys
from pathlib import Path

from omegaconf import OmegaConf

from engine.checkpoints.checkpoint_io import load_checkpoint
from engine.errors import printable
from engine.files import read_plain
from engine.paths import command, typed
from engine.process.activity import activity
from engine.process.startup import collecting_nothing
from engine.process.stop import end_now, handling
from engine.results.outputs import Collector as Collector
from engine.run.config_file import in_sweep
from engine.run.failure import sentence
from engine.run.outcome import outcome
from engine.run.record import Record
from engine.run.trained import load_config, load_trained
from engine.run.trust.plain_yaml import load_plain_yaml
from engine.run.trust.stored_config import MAX_BYTES
from engine.training.accounted_module import AccountedModule

NAME = "report.html"


def report_at_end(record: Record) -> None:
    """Writes the report of a run that has just ended, except in a sweep; prints one line if that fails.

    A signal ends the process at once, since the run is complete; its line says how to write the report.
    """
    if not record.is_first_process or in_sweep():
        return
    later = f" The run is complete. To write its page: {command('report.py')} run={typed(record.directory)}"
    with handling(lambda number, frame: end_now(number, later)), collecting_nothing():
        _try_to_report(record)


def _try_to_report(record: Record) -> None:
    try:
        from engine.report.facts import Facts
        from engine.report.page import write_page

        collector = next(callback for callback in record.trainer.callbacks if isinstance(callback, Collector))
        _validate_again(record, collector)
        config = load_plain_yaml(read_plain(record.directory / "config.yaml", MAX_BYTES))
        several = record.trainer.world_size > 1
        missing = "What the network predicts is not shown: report.py, in one process, adds it." if several else None
        with activity("writing the report"):
            page = write_page(Facts(record.directory, config, collector, missing))
        print(printable(f"report    {typed(page)}"))
    except Exception as error:  # the run itself has succeeded
        reason = printable(str(error).partition("\n")[0])
        print(f"{NAME} could not be written ({type(error).__name__}: {reason}).", file=sys.stderr)


def _validate_again(record: Record, collector: Collector) -> None:
    """Validates with the best epoch's weights if that epoch was before a restart; nothing is logged."""
    trainer = record.trainer
    batches = trainer.num_val_batches or [trainer.limit_val_batches]  # none are counted if nothing was left to train
    if "test" in collector.splits or trainer.world_size > 1 or not sum(batches):
        return
    if collector.choose(record.metrics.get("best/epoch")):
        return
    if not isinstance(trainer.lightning_module, AccountedModule):  # its steps may log, or need a training
        return
    from engine.results.evaluation import trainer_for_evaluation  # only here, as a sweep's jobs need none of it

    again = trainer_for_evaluation(record.cfg.trainer, [collector])
    again.validate(trainer.lightning_module, trainer.datamodule, verbose=False)


def report(directory: Path, grad_cam: bool = False) -> Path:
    """Writes the report of the run in `directory`, with its network's predictions if its data is available.

    With `grad_cam`, it shows where the network looked in its most confident mistakes (grad_cam.py). If the run is a job
    of a sweep, the sweep's page is rewritten with a link to the report.

    Raises:
        UserError: there is no run, its config or checkpoint is refused, or `grad_cam` does not fit it.
    """
    page = _report(directory, grad_cam)
    sweep = directory.absolute().parent
    if (sweep / "sweep.json").is_file():
        from engine.sweep.page import write_page as write_sweep  # only here: other runs need none of it
        from engine.sweep.table import read_sweep

        try:
            write_sweep(read_sweep(sweep))
        except Exception as error:  # it may be untrusted; the run's own page has been written
            print(f"{sweep}: its page could not be written again ({type(error).__name__}).", file=sys.stderr)
    return page


def _report(directory: Path, grad_cam: bool) -> Path:
    from engine.report.facts import Facts
    from engine.report.page import write_page

    if grad_cam:
        from engine.report.grad_cam import GradCam, require_captum  # only here: few want it

        require_captum()  # before anything that takes time

    config = OmegaConf.to_container(load_config(directory), resolve=False)
    assert isinstance(config, dict)
    collector, known = Collector(), outcome(directory)
    checkpoint = "last" if known.get("best/epoch") is None else "best"
    file = directory / "checkpoints" / f"{checkpoint}.ckpt"
    if not file.is_file():
        return write_page(Facts(directory, config, collector, "The run left no checkpoint."))
    known_data = load_checkpoint(file).get("hyper_parameters", {}).get("data")
    classes = known_data.get("classes") if isinstance(known_data, dict) else None
    split = "test" if any(name.startswith("test/") for name in known) else "val"
    missing = _evaluated(directory, checkpoint, split, collector)
    facts = Facts(directory, config, collector, missing, classes if isinstance(classes, list) else ())
    if grad_cam and facts.predictions is not None:
        facts.grad_cam = GradCam(load_trained(directory, checkpoint), collector.datamodule, facts.predictions.split)
    return write_page(facts)


def _evaluated(directory: Path, checkpoint: str, split: str, collector: Collector) -> str | None:
    """Evaluates the run for the collector; returns a sentence if that fails, since the page has more to show."""
    from engine.results.evaluation import evaluate

    try:
        evaluate(directory, split=split, checkpoint=checkpoint, overrides=(), callbacks=(collector,))
    except Exception as error:
        missing = f"What the network predicts is not shown: {sentence(error) or f'{type(error).__name__}: {error}'}"
        print(printable(missing), file=sys.stderr)
        return missing
    return None
