import pytest
import torch
from torch import Tensor, nn

from engine.errors import DivergenceError
from engine.training.accounted_module import Outcome
from tests.noise import SIZE, classifier, fit


def outcome(loss: float, size: int) -> Outcome:
    return Outcome(torch.tensor(loss), torch.zeros(size, 3), torch.zeros(size, dtype=torch.long))


def test_a_mean_loss_is_over_examples_not_batches() -> None:
    module = classifier()
    module._account("val", [outcome(1.0, 4), outcome(2.0, 4)])
    module._account("val", [outcome(7.0, 2)])
    total, count = module._sums["val/loss"]
    assert total / count == (4 * 1.0 + 4 * 2.0 + 2 * 7.0) / 10
    assert module.examples_seen == 0, "they are those of the training"


@pytest.mark.parametrize("chunk", [1, 4])
def test_what_was_seen_and_logged_is_part_of_the_account(chunk: int) -> None:
    module = classifier()
    fitted, _ = fit(chunk, module)
    state = module.account_state()
    assert state["examples_seen"] == module.examples_seen == SIZE * fitted.current_epoch
    assert state["logged"]["train/loss"] == float(fitted.callback_metrics["train/loss"])
    other = classifier()
    other.load_account_state(state)
    assert (other.examples_seen, other.logged_before) == (state["examples_seen"], state["logged"])


class Ruining(nn.MSELoss):
    """Its loss is NaN at the fifth call."""

    calls = 0

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        self.calls += 1
        return logits.mean() * (float("nan") if self.calls == 5 else 1.0)


@pytest.mark.parametrize("chunk", [1, 4])
def test_a_loss_that_is_not_finite_stops_the_training_at_its_step(chunk):
    with pytest.raises(DivergenceError, match=r"loss is nan at step 5, with a learning rate of 0\.05") as caught:
        fit(chunk, classifier(loss=Ruining()))
    assert caught.value.step == 5
