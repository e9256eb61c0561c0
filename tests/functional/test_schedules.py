from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from functional.schedules import triangular

CONFIG = Path(__file__).parents[2] / "conf/scheduler/triangular.yaml"


def build_sgd(lr: float = 2.0) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates(optimizer: torch.optim.Optimizer, scheduler: torch.optim.lr_scheduler.LRScheduler, steps: int) -> list[float]:
    result = []
    for _ in range(steps):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return result


def test_two_straight_lines():
    optimizer = build_sgd()
    result = rates(optimizer, triangular(optimizer, total_steps=10, start=0.2, peak_at=0.45, end=0.1), 13)
    up = [2 * (0.2 + 0.8 * step / 4) for step in range(4)]
    down = [2 * (1 - 0.9 * step / 6) for step in range(7)]
    assert result == pytest.approx(up + down + [0.2, 0.2])


def test_config_is_airbench_s():
    config = OmegaConf.load(CONFIG)
    optimizer = build_sgd(1.0)
    result = rates(optimizer, instantiate(config.scheduler)(optimizer, total_steps=100), 101)
    assert [result[step] for step in (0, 23, 100)] == pytest.approx([0.2, 1, 0.07])
    assert config.interval == "step"


def test_no_warm_up_starts_at_the_peak():
    optimizer = build_sgd()
    assert rates(optimizer, triangular(optimizer, total_steps=1, start=0.2, peak_at=0.23, end=0.0), 2) == [2, 0]


def test_goes_on_after_a_restart():
    settings = {"total_steps": 10, "start": 0.2, "peak_at": 0.3, "end": 0.1}
    whole, first, second = build_sgd(), build_sgd(), build_sgd()
    expected = rates(whole, triangular(whole, **settings), 10)
    scheduler = triangular(first, **settings)
    head = rates(first, scheduler, 4)
    resumed = triangular(second, **settings)
    resumed.load_state_dict(scheduler.state_dict())
    second.load_state_dict(first.state_dict())
    assert head + rates(second, resumed, 6) == expected


@pytest.mark.parametrize(("total_steps", "peak_at"), [(-1, 0.2), (0, 0.2), (10, 1.0), (10, -0.1)])
def test_impossible_settings_are_refused(total_steps, peak_at):
    with pytest.raises(ValueError, match="total_steps"):
        triangular(build_sgd(), total_steps=total_steps, start=0.2, peak_at=peak_at, end=0.1)
