import pytest
import torch

from engine.errors import DivergenceError


@pytest.mark.parametrize(
    ("losses", "step", "text"),
    [
        ([1.0, float("nan"), float("inf")], 9, "nan"),
        ([float("-inf")], 10, "-inf"),
        ([1.0, 2.0, float("inf")], 10, "inf"),
    ],
)
def test_it_names_the_first_step_and_all_rates(losses: list[float], step: int, text: str) -> None:
    error = DivergenceError(torch.tensor(losses), 10, [0.1, 3e-5])
    assert error.step == step
    assert f"loss is {text} at step {step}, with a learning rate of 0.1, 3e-05: give a smaller" in str(error)
