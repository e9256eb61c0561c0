"""Builds network, loss, optimizer, scheduler, procedure and Trainer before the run, to catch what they reject.

Nothing is built that could write or open files or connections: no data, no loggers, no callbacks of the user's own. The
network is built on torch's meta device, without memory, weights or random draws.
"""

import inspect
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from torch import nn
from torch.nn.modules.loss import _Loss
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.overrides import TorchFunctionMode

from engine.build import FOR_MODULE, READ_HERE, build_loss, takes
from engine.checkpoints.architecture import differences, saved_shapes
from engine.errors import UserError
from engine.preflight.accelerators import require_accelerator, require_other_nodes
from engine.preflight.chosen import meant_for
from engine.preflight.findings import Findings, is_known, select
from engine.preflight.monitors import check_monitors
from engine.preflight.targets import find_target
from engine.run.failure import MEMORY
from engine.training.accounted_module import AccountedModule
from engine.training.parameter_groups import parameter_groups
from engine.training.procedure import Procedure
from engine.training.schedule import lr_scheduler_config
from engine.wording import nearest

Settings = Mapping[str, Any]

DRAWS = ("normal_", "uniform_", "bernoulli_", "exponential_", "random_", "erfinv_")
"""In-place random methods. On the meta device they would import sympy, which takes a second."""

ANYWHERE: Settings = {"accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto"}
"""Replaces devices that this machine may not have."""

DIVISORS = ("accumulate_grad_batches", "check_val_every_n_epoch", "log_every_n_steps")
"""Counts that Lightning and engine/training/procedure.py divide by, unchecked."""

LENGTHS = {
    "max_epochs": "at least 1, or -1 for no limit",
    "max_steps": "at least 1, or -1 for no limit",
    "limit_train_batches": "a share above 0, at least 1 batch, or null for all",
}
"""Settings that limit the training, and their valid values."""

MISSING = re.compile(r"missing \d+ required .*arguments?: (.*)")
"""Python's message for missing arguments."""

MAX_TEXT = 10_000
"""Characters of an error message that are examined: it may repeat a long value of the config."""

STEPS = 100
"""Assumed number of optimizer steps, for schedulers that span the training."""

OUTPUTS = ("lightning_module.num_classes", "network.num_classes", "network.d_out")
"""Keys that may give the number of the network's outputs."""


def rehearse(findings: Findings) -> None:
    """Reports what constructors reject, alone or when the parts are combined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they will be shown again
        _make(findings, "trainer", lambda node: _trainer({**node, **(ANYWHERE if findings.elsewhere else {})}))
        for name in findings.values.get("callback") or ():
            if str(select(findings.values, f"callback.{name}._target_")).startswith("pytorch_lightning.callbacks."):
                _make(findings, f"callback.{name}")
        outputs = next((n for path in OUTPUTS if isinstance(n := select(findings.values, path), int) and n > 0), None)
        made = {
            "network": _make(findings, "network", _without_weights),
            "loss": _make(findings, "loss", lambda node: _tried_loss(node, outputs)),
            "optimizer": _make(findings, "optimizer"),
            "scheduler": _make(findings, "scheduler"),
        }
        module, network = None, made["network"]
        if all(made[part] is not None or findings.values.get(part) is None for part in FOR_MODULE):
            module = _make(findings, "lightning_module", lambda node: _procedure(node, made))
        _try_optimizer(findings, module)
        if module is not None and network is not None:
            _check_initialization(findings, network)
        if isinstance(module, AccountedModule):  # other modules' metrics are only known in training
            check_monitors(findings, module)
        if network is not None and findings.values.get("resume"):
            _check_checkpoint(findings, network)


def _make(findings: Findings, path: str, make: Callable[[Settings], Any] = instantiate) -> Any:
    """Builds the part at `path`; None if its settings have mistakes, which are recorded."""
    settings = select(findings.values, path)
    if not isinstance(settings, Mapping) or not is_known(settings) or findings.any_below(path):
        return None
    try:
        return make({"_convert_": "all", **settings})
    except Exception as error:
        inner, cause = _cause(error)
        text = " ".join(str(cause).split())[:MAX_TEXT] or type(cause).__name__
        # It may need values, which the meta device lacks; running out of memory is no mistake in the config.
        if re.search(r"\bmeta\b", text, re.IGNORECASE) or MEMORY.search(text):
            return None
        if missing := MISSING.search(text):
            for name in re.findall(r"'(\w+)'", missing[1]):
                findings.add(f"{path}.{name}", "is missing")
            return None
        if inner and isinstance(part := select(settings, inner), Mapping):
            path, settings = f"{path}.{inner}", part
        blamed = culprit(settings, text)
        if blamed is None and (other := re.match(r"(network|loss)\b", text)):  # the part it is combined with
            path = other[1]
        findings.add(f"{path}.{blamed}" if blamed else path, text if len(text) <= 300 else f"{text[:299]}…")
        return None


def _cause(error: BaseException) -> tuple[str, BaseException]:
    """The key of the nested part whose constructor failed, and its exception, which Hydra has wrapped."""
    inner = ""
    while isinstance(error, InstantiationException) and error.__cause__:
        if key := re.search(r"full_key: (\S+)", str(error)):
            inner = key[1]
        error = error.__cause__
    return inner, error


def culprit(settings: Settings, text: str) -> str | None:
    """The setting that an error message names, literally or in words; else one whose text value it contains."""
    keys = [key for key in settings if not key.startswith("_")]
    words = {key: "learning rate" if key == "lr" else key.removesuffix("s") for key in keys}
    named = [key for key in keys if re.search(rf"\b({re.escape(key)}\b|{re.escape(words[key])})", text)]
    shown = [key for key in keys if re.search(rf"(?<!\w){re.escape(str(settings[key]))}(?!\w)", text)]
    zeros = [key for key in keys if settings[key] == 0 and "zero" in text]  # a ZeroDivisionError
    texts = [key for key in shown if isinstance(settings[key], str)]
    given = [key for key in named if f"{key}=" in text]
    both = [key for key in named if key in shown]
    return next((found[0] for found in (given, both, named, texts, zeros) if found), None)


# Building parts -------------------------------------------------------------------------------------------------------


def _trainer(node: Settings) -> Any:
    for key in LENGTHS:
        if node.get(key) == 0 and not isinstance(node[key], bool):
            raise ValueError(f"trains nothing: {key} must be {LENGTHS[key]}")
    require_accelerator(node.get("accelerator"))
    trainer = instantiate({**node, "plugins": None}, logger=False, callbacks=[])
    for name in DIVISORS:
        if (count := getattr(trainer, name, None)) is not None and count < 1:
            raise ValueError(f"{name} must be at least 1")
    if (trainer.gradient_clip_val or 0) < 0:
        raise ValueError("gradient_clip_val must be at least 0, or null for no clipping")
    require_other_nodes(trainer)
    return trainer


def _tried_loss(node: Settings, outputs: int | None) -> Any:
    """The loss; torch's own losses are also called once, since they check their settings only then."""
    loss = build_loss(node)
    if not isinstance(loss, _Loss) or not type(loss).__module__.startswith("torch.") or outputs is None:
        return loss
    scores = torch.zeros(2, outputs)
    refused: list[Exception] = []
    for targets in (torch.zeros(2, dtype=torch.long), torch.zeros(2, outputs)):
        try:
            loss(scores, targets)
        except TypeError:  # it takes another number of inputs
            return loss
        except (ValueError, RuntimeError) as error:
            refused.append(error)
        else:
            return loss
    for refusal in refused:
        if culprit(node, str(refusal)):  # otherwise it expects other predictions or targets
            raise refusal
    return loss


def _without_weights(node: Settings) -> nn.Module | None:
    """The network on the meta device; None if it would load weights by other means than our `pretrained`."""
    if re.search(r"'weights': (?!None)", str(node)):  # torchvision's argument
        return None
    settings = {key: value for key, value in node.items() if key not in READ_HERE}
    with torch.device("meta"), _NoDraws():
        network: nn.Module = instantiate(settings | ({"pretrained": False} if "pretrained" in settings else {}))
    return network


class _NoDraws(TorchFunctionMode):
    """Skips in-place random initialization."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return next(iter((*args, *kwargs.values()))) if func.__name__ in DRAWS else func(*args, **kwargs)


def _procedure(node: Settings, made: Mapping[str, Any]) -> Any:
    target = find_target(node["_target_"])
    if not (inspect.isclass(target) and issubclass(target, Procedure)):  # another constructor may do anything
        return None
    parts = {part: made[part] for part in FOR_MODULE if takes(target, part)}
    with _NoDraws():
        return instantiate({**node, "compile": False} if "compile" in node else node, **parts)


def _try_optimizer(findings: Findings, module: Any) -> None:
    """Builds the optimizer and its scheduler on parameters of the real shapes that take no memory."""
    groups: list[dict[str, Any]] = [{"params": [torch.zeros(1, 1)]}]
    if module is not None:
        try:
            groups = parameter_groups(module.trained_parameters(), module.param_groups)
        except (ValueError, KeyError, re.error) as error:
            meant = meant_for("lightning_module", "param_groups", group="network")
            whose = f"; {meant[0].parent.name}/{meant[0].name} sets them for network={meant[1]}" if meant else ""
            findings.add("lightning_module.param_groups", f"{str(error).rstrip('.')}{whose}")

    def make(node: Settings) -> Optimizer:
        shaped = [
            {**group, "params": [nn.Parameter(torch.zeros((), dtype=p.dtype).expand(p.shape)) for p in group["params"]]}
            for group in groups
        ]
        optimizer: Optimizer = instantiate(node)(shaped)
        return optimizer

    def make_scheduler(node: Settings) -> Any:
        optimizer = make(findings.values["optimizer"])
        schedule: Any = {"interval": "epoch", **findings.values["scheduler"], "scheduler": instantiate(node)}
        try:
            scheduler = lr_scheduler_config(schedule, optimizer, lambda: STEPS)["scheduler"]
        except UserError as error:
            key, _, text = str(error).partition(": ")
            return findings.add(key.partition("=")[0], text)
        for _ in range(2 if isinstance(scheduler, LRScheduler) else 0):
            scheduler.step(*([0.0] if isinstance(scheduler, ReduceLROnPlateau) else []))
        return scheduler

    if (optimizer := _make(findings, "optimizer", make)) is None:
        return
    for index, group in enumerate(groups):
        for key in group.keys() - optimizer.defaults.keys() - {"params"}:
            path = f"lightning_module.param_groups[{index}].{key}"
            findings.add(path, f"{type(optimizer).__name__} takes no {key}; {nearest(key, optimizer.defaults)}")
    _make(findings, "scheduler.scheduler", make_scheduler)


def _check_initialization(findings: Findings, network: nn.Module) -> None:
    """Reports an `init` that would overwrite pretrained weights; frozen ones are never initialized."""
    init, pretrained = (select(findings.values, path) for path in ("lightning_module.init", "network.pretrained"))
    backbone = getattr(network, "backbone", network)
    if init is not None and pretrained is True and any(weight.requires_grad for weight in backbone.parameters()):
        findings.add(
            "lightning_module.init", "would overwrite the pretrained weights: give null, or network.pretrained=false"
        )


def _check_checkpoint(findings: Findings, network: nn.Module) -> None:
    """Reports a checkpoint to resume from whose network has another architecture."""
    checkpoints = Path(findings.values["run_dir"], "checkpoints")
    saved = saved_shapes(checkpoints, "last.ckpt")
    if saved and (differ := differences(network, saved)):
        findings.add("network", f"{checkpoints / 'last.ckpt'} has another architecture: {differ}")
