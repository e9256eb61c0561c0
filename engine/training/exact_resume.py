"""What Lightning's checkpoints lack for a resumed training to end with the same bits.

Lightning 2.6 saves its loops' counters wherever it happens to be in an epoch, and guesses from them on restart what had
been done: after a batch's end it drops the validation that was due, after an epoch without one it goes on as if there
had been one. Here the counters are brought into one of two forms before they are saved, and restart needs no guess.
"""

from typing import Any

from pytorch_lightning import Trainer
from torch import Tensor
from torchmetrics import MetricCollection


def settle(loop: dict[str, Any], *, validation_due: bool) -> None:
    """Brings the saved state of a fit loop into the form "before an epoch" or "after some batches of an epoch".

    Args:
        loop: `checkpoint["loops"]["fit_loop"]`, changed in place.
        validation_due: of the second form, that a validation comes next, from its first batch on.
    """
    epochs, batches = loop["epoch_progress"], loop["epoch_loop.batch_progress"]
    validation = loop["epoch_loop.val_loop.batch_progress"]
    epoch_is_over = epochs["current"]["processed"] == epochs["current"]["ready"]
    if epoch_is_over:
        for counts in (epochs["total"], epochs["current"]):
            _set(counts, counts["processed"])
        _set(batches["current"], 0)
        batches["is_last_batch"] = False
    else:
        _set(batches["current"], batches["current"]["processed"])
    _set(batches["total"], batches["total"]["processed"])
    _set(validation["current"], 0)
    _set(validation["total"], 0)
    if validation_due and not epoch_is_over:
        # As Lightning has it amid an evaluation, but none of its batches is done.
        validation["total"] |= {"ready": 1, "started": 1}


def _set(counts: dict[str, int], value: int) -> None:
    counts.update(dict.fromkeys(counts, value))


def validation_is_due(trainer: Trainer, validated: bool) -> bool:
    """Whether a validation follows the last training batch and is not over; `validated`: the running one is."""
    if trainer.validating:
        return not validated
    loop = trainer.fit_loop
    batches: Any = loop.epoch_loop.batch_progress
    at_its_end = batches.current.processed > batches.current.completed
    fetcher = loop._data_fetcher
    return at_its_end and fetcher is not None and loop.epoch_loop._should_check_val_fx(fetcher)


def go_on(trainer: Trainer) -> None:
    """Once a training has started: what Lightning must not take for an interrupted epoch starts as any epoch does."""
    loop = trainer.fit_loop
    loop._load_combined_loader_states()  # not done yet where a scheduler asked for the number of steps
    loop._restarting = False  # this loop alone: it would leave out an epoch's last scheduler step
    if not loop.epoch_loop.batch_progress.current.ready:
        loop.epoch_loop.restarting = False
    elif loop.epoch_loop._num_ready_batches_reached():
        # All batches are done, but maybe a validation is not. Lightning would ask for another batch without one.
        assert loop._data_fetcher is not None
        loop._data_fetcher.done = True


def metric_states(metrics: MetricCollection | None) -> dict[str, Any]:
    """What has been counted so far, by the metric's name."""
    if metrics is None:
        return {}
    return {name: (metric._update_count, dict(metric.metric_state)) for name, metric in metrics.items()}


def load_metric_states(metrics: MetricCollection | None, states: dict[str, tuple[int, dict[str, Tensor]]]) -> None:
    """Goes on counting from there."""
    for name, metric in () if metrics is None else metrics.items():
        metric._update_count, values = states[name]
        for state, value in values.items():
            setattr(metric, state, value)
