"""Chunks of mini-batches train as single ones do, to the bit, and are left where Lightning must see each of them."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from engine.errors import UserError
from engine.speed.faster_forward import FasterForward
from lightning_modules.classifier import Classifier
from tests.noise import classifier, fit, noise, same, trainer


def step_halving(optimizer: torch.optim.Optimizer) -> Any:
    return torch.optim.lr_scheduler.StepLR(optimizer, 3)


@pytest.mark.parametrize("chunk", [2, 4, 100])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_chunks_train_as_single_batches_do(chunk, precision):
    single, expected = fit(1, precision=precision)
    chunked, weights = fit(chunk, precision=precision)
    assert same(expected, weights)
    assert chunked.global_step == single.global_step == 22
    for name, value in single.callback_metrics.items():
        torch.testing.assert_close(chunked.callback_metrics[name], value, msg=name)


@pytest.mark.parametrize("interval", ["step", "epoch"])
def test_schedules_are_followed_in_chunks(interval):
    def module() -> Classifier:
        return classifier(scheduler={"scheduler": step_halving, "interval": interval})

    single, expected = fit(1, module(), max_epochs=4)
    chunked, weights = fit(4, module(), max_epochs=4)
    assert same(expected, weights)
    rates = [t.optimizers[0].param_groups[0]["lr"] for t in (single, chunked)]
    assert rates[0] == rates[1] == pytest.approx({"step": 0.05 * 0.1**14, "epoch": 0.05 * 0.1}[interval])


@pytest.mark.parametrize("chunk", [1, 4])
@pytest.mark.parametrize(
    ("settings", "steps"),
    [({}, 22), ({"max_steps": 15}, 15), ({"accumulate_grad_batches": 2}, 12), ({"limit_train_batches": 0.8}, 16)],
)
def test_a_schedule_over_the_whole_training_knows_its_steps(chunk, settings, steps):
    spanning = partial(torch.optim.lr_scheduler.LinearLR, start_factor=1.0, end_factor=0.5)
    given = []

    def scheduler(optimizer: torch.optim.Optimizer, total_steps: int) -> Any:
        given.append(total_steps)
        return spanning(optimizer, total_iters=total_steps)

    whole = {"scheduler": partial(scheduler, total_steps=None), "interval": "step"}
    fitted, _ = fit(chunk, classifier(scheduler=whole), **settings)
    assert given == [fitted.global_step] == [steps]
    assert fitted.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.025)
    fixed = {"scheduler": partial(scheduler, total_steps=44), "interval": "step"}
    fit(chunk, classifier(scheduler=fixed), **settings)
    assert given == [steps, 44]


def test_a_schedule_over_a_training_without_an_end_is_refused():
    whole = {"scheduler": partial(step_halving, total_steps=None), "interval": "step"}
    with pytest.raises(UserError, match=r"give trainer\.max_epochs"):
        fit(1, classifier(scheduler=whole), max_epochs=-1)


@pytest.mark.parametrize("chunk", [1, 4])
def test_max_steps_is_kept_within_a_chunk_and_its_epoch_is_validated(chunk):
    whole, expected = fit(1, max_steps=15, max_epochs=-1)
    cut, weights = fit(chunk, max_steps=15, max_epochs=-1)
    assert whole.global_step == cut.global_step == 15
    assert same(expected, weights)
    module = classifier()
    module.load_state_dict(weights)
    (metrics,) = trainer().validate(module, datamodule=noise(1), verbose=False)
    assert metrics["val/loss"] == pytest.approx(float(cut.callback_metrics["val/loss"]))


@pytest.mark.parametrize(
    "settings",
    [
        {"accumulate_grad_batches": 2},
        {"gradient_clip_val": 0.01},
        {"limit_train_batches": 5},
        {"overfit_batches": 2},
    ],
)
def test_what_lightning_does_around_a_batch_ends_chunks(settings):
    single, expected = fit(1, **settings)
    chunked, weights = fit(4, **settings)
    assert same(expected, weights)
    assert chunked.global_step == single.global_step < 22 or "gradient_clip_val" in settings
    assert not same(expected, fit(1)[1])


@pytest.mark.parametrize("compile", [True, {"fullgraph": True}])
def test_a_compiled_network_leaves_no_trace_in_the_checkpoint(tmp_path, compile):
    saver = ModelCheckpoint(tmp_path, filename="last", enable_version_counter=False)
    module = classifier(compile=compile)
    calls: list[Callable[..., Any]] = []
    compiled = module.network._compiled_call_impl
    module.network._compiled_call_impl = lambda *inputs: (calls.append(compiled), module.network._call_impl(*inputs))[1]
    fit(4, module, max_epochs=1, callbacks=[saver], enable_checkpointing=True)
    assert compiled is not None
    assert calls
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert not [name for name in state if "_orig_mod" in name]
    plain = classifier()
    plain.load_state_dict(state)
    assert same(plain.state_dict(), module.state_dict())


def test_channels_last_is_the_format_of_images_and_weights():
    module, seen = classifier(channels_last=True), []
    module.network[0].register_forward_hook(lambda conv, inputs, output: seen.append((inputs[0], conv.weight)))
    fit(4, module, max_epochs=1)
    assert seen
    for tensors in seen:
        assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in tensors)


@pytest.mark.parametrize("chunk", [1, 4])
def test_frozen_batchnorm_keeps_its_statistics_and_trains_its_weights(chunk):
    module = classifier(freeze_batchnorm=True)
    before = {name: tensor.clone() for name, tensor in module.network[1].state_dict().items()}
    fit(chunk, module)
    after = module.network[1].state_dict()
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(after[name], before[name])
    assert not torch.equal(after["weight"], before["weight"])


@pytest.mark.parametrize("chunk", [1, 4])
def test_frozen_batchnorm_is_folded_and_trains_alike(chunk, monkeypatch):
    folded, module = [], classifier(freeze_batchnorm=True)
    module.network[1].register_forward_hook(lambda norm, inputs, output: folded.append(output is inputs[0]))
    _, state = fit(chunk, module)
    assert folded.count(True) >= 22  # two epochs of 11 steps; what looks ahead at the network does not fold
    monkeypatch.setattr(FasterForward, "modes", lambda modes, inputs: nullcontext())
    _, expected = fit(chunk, classifier(freeze_batchnorm=True))
    for name, tensor in expected.items():
        torch.testing.assert_close(state[name], tensor, rtol=1e-4, atol=1e-5)
