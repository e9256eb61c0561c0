"""A loss that does not fit, a loss with parameters, and a batch of one."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.errors import UserError
from tests.noise import classifier, fit, noise, trainer


class Tempered(nn.Module):
    """Cross-entropy with a temperature that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(0.5))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits * self.log_temperature.exp(), targets)


@pytest.mark.parametrize("chunk", [1, 4])
@pytest.mark.parametrize("groups", [None, [{"pattern": "^5", "lr": 0.1}], [{"pattern": "^loss", "lr": 0.1}]])
def test_the_parameters_of_a_loss_are_trained_and_saved(chunk: int, groups: Any, tmp_path: Any) -> None:
    module = classifier(loss=Tempered(), param_groups=groups)
    fitted, _ = fit(chunk, module)
    learned = float(module.loss.log_temperature.detach())
    assert learned != 0.5
    count = sum(len(group["params"]) for group in fitted.optimizers[0].param_groups)
    assert count == len(list(module.network.parameters())) + 1
    fitted.save_checkpoint(tmp_path / "saved.ckpt")
    saved = torch.load(tmp_path / "saved.ckpt", weights_only=True)
    assert float(saved["state_dict"]["loss.log_temperature"]) == learned


@pytest.mark.parametrize("chunk", [1, 4])
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (nn.BCEWithLogitsLoss(), r"BCEWithLogitsLoss cannot compare outputs \(4, 3\) float32 and targets \(4,\) int64"),
        (nn.MSELoss(), r"MSELoss cannot compare outputs \(4, 3\) float32 and targets \(4,\) int64"),
        (nn.NLLLoss(), r"NLLLoss takes log-probabilities, .* give loss=cross_entropy"),
        (nn.CrossEntropyLoss(reduction="none"), r"gives \(4,\) for a batch, not one number: give loss\.reduction=mean"),
        (nn.CrossEntropyLoss(weight=torch.ones(5)), r"CrossEntropyLoss cannot compare .*weight"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_loss_that_does_not_fit_is_one_sentence(loss: nn.Module, message: str, chunk: int) -> None:
    with pytest.raises(UserError, match=message) as told:
        fit(chunk, classifier(loss=loss))
    assert "\n" not in str(told.value)


def test_a_loss_that_torch_would_broadcast_is_refused() -> None:
    data = noise(1)
    data.batch_size = 3  # as many as there are classes: (3, 3) and (3,) broadcast
    with pytest.raises(UserError, match="MSELoss cannot compare"):
        trainer().fit(classifier(loss=nn.MSELoss()), datamodule=data)


def test_log_probabilities_are_what_nll_takes() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 3), nn.LogSoftmax(1))
    fitted, _ = fit(1, classifier(network=network, loss=nn.NLLLoss()))
    assert float(fitted.callback_metrics["train/loss"]) > 0


def test_batchnorm_on_a_batch_of_one_is_one_sentence() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 3), nn.BatchNorm1d(3))
    data = noise(1)
    data.batch_size = 41  # of 42
    with pytest.raises(UserError, match=r"datamodule\.batch_size=41: this batch has one example.*freeze_batchnorm"):
        trainer().fit(classifier(network=network), datamodule=data)
    fit(1, classifier(network=network, freeze_batchnorm=True))
