"""Explains why a training ended before its last epoch."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from pytorch_lightning.callbacks import EarlyStopping, Timer
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason

ENDING = (EarlyStopping.__name__, Timer.__name__)


def has_stopped(callback: Any) -> bool:
    """Whether early stopping has decided to end the training, and its settings have not been relaxed since."""
    if not isinstance(callback, EarlyStopping) or callback.stopping_reason is EarlyStoppingReason.NOT_STOPPED:
        return False
    is_patience = callback.stopping_reason is EarlyStoppingReason.PATIENCE_EXHAUSTED
    return not is_patience or callback.wait_count >= callback.patience


def early_end(trainer: Any) -> str | None:
    """The reason, as a clause without a subject; None if the training ran to its end."""
    if not trainer.should_stop:
        return None
    for callback in trainer.callbacks:
        if has_stopped(callback):
            return _stopping(callback)
        if isinstance(callback, Timer) and (left := callback.time_remaining()) is not None and left <= 0:
            seconds = left + callback.time_elapsed()
            return f"its time of {timedelta(seconds=round(seconds))} was up"
    return "a callback stopped it"


def _stopping(callback: EarlyStopping) -> str:
    reason, monitor = callback.stopping_reason, callback.monitor
    if reason is EarlyStoppingReason.PATIENCE_EXHAUSTED:
        count = f"{callback.wait_count} validation{'' if callback.wait_count == 1 else 's'}"
        return f"{monitor} did not improve for {count} (patience {callback.patience})"
    if reason is EarlyStoppingReason.STOPPING_THRESHOLD:
        return f"{monitor} reached stopping_threshold={callback.stopping_threshold}"
    if reason is EarlyStoppingReason.DIVERGENCE_THRESHOLD:
        return f"{monitor} passed divergence_threshold={callback.divergence_threshold}"
    return f"{monitor} was not finite"


def lifting(config: Mapping[str, Any]) -> list[str]:
    """Overrides that remove from a config whatever may end a training early, such as `~callback.early_stopping`."""
    callbacks = config.get("callback") or {}
    targets = {name: str(node.get("_target_")) for name, node in callbacks.items() if isinstance(node, Mapping)}
    ending = [name for name, target in targets.items() if target.rpartition(".")[2] in ENDING]
    timed = ["trainer.max_time=null"] if (config.get("trainer") or {}).get("max_time") is not None else []
    return [*timed, *(f"~callback.{name}" for name in ending)]


def is_lifted(override: str, changed: Collection[str]) -> bool:
    """Whether one of these keys is, or is below, the one that an override of `lifting` removes."""
    key = override.lstrip("~").partition("=")[0]
    return any(f"{name}.".startswith(f"{key}.") for name in changed)
