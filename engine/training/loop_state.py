"""The state of Lightning's loops in a checkpoint, put into a form from which a training resumes exactly.

Lightning 2.6 saves its loops' counters at any point of an epoch, and infers on restart what had been done: after the
end of a batch it drops a validation that was due, and after an epoch without validation it continues as if there had
been one. Here the counters are put into one of two forms before they are saved, so that nothing has to be inferred.
"""

from typing import Any


def settle(loop: dict[str, Any], *, validation_due: bool, accumulating: bool) -> None:
    """Puts the saved state of a fit loop into the form "before an epoch" or "after some batches of an epoch".

    Args:
        loop: `checkpoint["loops"]["fit_loop"]`, changed in place.
        validation_due: in the second form, whether a validation comes next, starting with its first batch.
        accumulating: whether the gradients of the last batch await an optimizer step.
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
        # Lightning's state in the middle of an evaluation, but with no batch done.
        validation["total"] |= {"ready": 1, "started": 1}
    elif not epoch_is_over and not accumulating:
        loop["epoch_loop.state_dict"]["_batches_that_stepped"] += 1  # Lightning would do it after the save


def _set(counts: dict[str, int], value: int) -> None:
    counts.update(dict.fromkeys(counts, value))


def count_steps_alike(loop: dict[str, Any], steps: int) -> None:
    """Sets the saved number of steps for manual and automatic optimization, since a resumed run may use the other."""
    manual = loop["epoch_loop.manual_optimization.optim_step_progress"]["total"]
    automatic = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]
    for counts in (manual, automatic):
        counts |= {"ready": steps, "completed": steps}


def position(loop: dict[str, Any]) -> tuple[int, bool]:
    """From `checkpoint["loops"]["fit_loop"]`: the number of finished epochs, and whether another has begun."""
    epochs, batches = loop["epoch_progress"]["current"], loop["epoch_loop.batch_progress"]
    has_begun = epochs["ready"] > epochs["processed"] and batches["current"]["ready"] > 0
    return epochs["processed"], has_begun and not batches["is_last_batch"]
