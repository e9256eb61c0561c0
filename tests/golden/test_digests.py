"""Two of the fastest experiments against digests.json; `make golden` compares all of them."""

import json
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.golden.record import FILE, digests, experiments, machine

KNOWN = json.loads(FILE.read_text())


def test_every_experiment_has_digests() -> None:
    assert KNOWN
    for known in KNOWN.values():
        assert sorted(known) == experiments(ROOT)


@pytest.mark.parametrize("experiment", ["lenet_nll", "regression_two_layer_net"])
def test_the_same_bits(experiment: str, tmp_path: Path) -> None:
    """Where torch or the processor is one that has no digests, two runs are compared with each other."""
    expected = KNOWN.get(machine(), {}).get(experiment) or digests(experiment, ROOT, tmp_path / "first")
    assert digests(experiment, ROOT, tmp_path / "second") == expected
