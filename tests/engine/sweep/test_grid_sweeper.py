from pathlib import Path

import pytest

from engine.config.sweep_job import one_of_each_kind
from tests.conftest import RunTrain


def test_jobs_that_differ_in_numbers_are_of_one_kind() -> None:
    swept = [(seed, rate, network) for seed in range(3) for rate in (0.1, 1e-3) for network in ("lenet", "resnet18")]
    batch = [(f"seed={seed}", f"optimizer.lr={rate}", f"network={network}") for seed, rate, network in swept]
    assert one_of_each_kind(batch) == batch[:2]


def test_truth_values_and_keys_make_a_kind() -> None:
    batch = [("cache=true",), ("cache=false",), ("cache=true", "+x=1"), ("cache=true", "x=1"), ("cache=true", "~x")]
    assert one_of_each_kind(batch) == batch


@pytest.mark.parametrize("swept", ["network=lenet,lenett", "seed=0,1 optimizr.lr=0.1"])
def test_what_cannot_be_composed_stops_the_sweep_before_its_first_job(
    swept: str, run_train: RunTrain, tmp_path: Path
) -> None:
    done = run_train("-m", "experiment=lenet_nll", *swept.split(), cwd=tmp_path)
    assert done.returncode == 1
    assert "did you mean" in done.stderr
    assert not list(tmp_path.rglob("metrics.json"))


def test_a_setting_replaces_the_presets(run_train: RunTrain, tmp_path: Path) -> None:
    done = run_train("sweep=seeds", "seed=7,8", "experiment=lenet_nll", "trainer=cpu", "debug=fast", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.parent.name for path in tmp_path.rglob("metrics.json")) == ["000_seed-7", "001_seed-8"]
