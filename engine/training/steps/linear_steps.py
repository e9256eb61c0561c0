"""Training steps of a linear layer with cross entropy and SGD that call the operations of autograd directly.

The overhead of autograd, modules and the optimizer is three quarters of such a step. The operations and their order are
the same, so the results are bit-identical (tests/engine/training/steps/test_linear_steps.py).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook
from torch.optim import SGD, Optimizer

from engine.training.accounted_module import Outcome

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")

Step = Callable[[Tensor, Tensor], Outcome]

aten = torch.ops.aten


def linear_step(layer: nn.Module | None, loss: nn.Module, optimizer: Optimizer, batch: Any) -> Step | None:
    """Makes one step of `layer` on batches like this one, without autograd.

    None if a part has another type or has hooks, and before the first step of the optimizer.
    """
    if not (isinstance(layer, nn.Linear) and isinstance(loss, nn.CrossEntropyLoss) and isinstance(optimizer, SGD)):
        return None
    parts: tuple[Any, ...] = (layer, loss, optimizer)
    if tuple(map(type, parts)) != (nn.Linear, nn.CrossEntropyLoss, SGD) or len(optimizer.param_groups) != 1:
        return None
    parameters, settings = [layer.weight, layer.bias], optimizer.param_groups[0]
    if not _are_numbers(*batch) or loss.label_smoothing or loss.reduction == "none":
        return None
    if not (_are_plain(layer, loss, optimizer) and _same(settings["params"], parameters)):
        return None
    if not settings["fused"] or isinstance(settings["lr"], Tensor) or torch.is_autocast_enabled("cpu"):
        return None
    buffers = [optimizer.state[parameter].get("momentum_buffer") for parameter in parameters]
    if settings["momentum"] and None in buffers:
        return None
    return _step(layer, loss, settings, buffers if settings["momentum"] else [])


def _are_numbers(inputs: Tensor, targets: Any, *others: Any) -> bool:
    """Whether a batch has inputs (N, D) and class indices (N,), and nothing else."""
    is_indices = isinstance(targets, Tensor) and targets.dtype == torch.long and targets.ndim == 1
    is_features = inputs.ndim == 2 and inputs.dtype == torch.float32 and not inputs.requires_grad
    return is_indices and is_features and not others


def _are_plain(layer: nn.Linear, loss: nn.Module, optimizer: SGD) -> bool:
    """Whether no hooks would be called, and all parameters are plain float32 on the CPU."""
    hooks: list[Any] = [getattr(module, name) for module in (layer, loss) for name in HOOKS]
    hooks += [optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks, _has_any_global_hook()]
    parameters = [layer.weight, layer.bias]
    return not any(hooks) and all(
        type(p) is nn.Parameter
        and p.requires_grad
        and p.dtype == torch.float32
        and p.device.type == "cpu"
        and not p._backward_hooks
        for p in parameters
    )


def _same(these: list[Any], those: list[Any]) -> bool:
    return len(these) == len(those) and all(a is b for a, b in zip(these, those, strict=True))


def _step(layer: nn.Linear, loss: nn.CrossEntropyLoss, settings: dict[str, Any], buffers: list[Tensor]) -> Step:
    weight, bias, one = layer.weight, layer.bias, torch.ones(())
    reduction = ("none", "mean", "sum").index(loss.reduction)

    @torch.no_grad()
    def step(inputs: Tensor, targets: Tensor) -> Outcome:
        logits = aten.linear(inputs, weight, bias)
        logs = torch.log_softmax(logits, 1)
        value, total = aten.nll_loss_forward(logs, targets, loss.weight, reduction, loss.ignore_index)
        slope = aten.nll_loss_backward(one, logs, targets, loss.weight, reduction, loss.ignore_index, total)
        slope = aten._log_softmax_backward_data(slope, logs, 1, torch.float32)
        weight.grad, bias.grad = slope.t().mm(inputs), slope.sum(0)
        torch._fused_sgd_(
            [weight, bias],
            [weight.grad, bias.grad],
            buffers,
            weight_decay=settings["weight_decay"],
            momentum=settings["momentum"],
            lr=settings["lr"],
            dampening=settings["dampening"],
            nesterov=settings["nesterov"],
            maximize=settings["maximize"],
            is_first_step=False,
        )
        return Outcome(value, logits, targets)

    return step
