"""Mutated checkpoints, ledgers and configs: each is read, or refused in one sentence that is a UserError.

A failure shows by any other exception, by a canary file, or by an example that takes longer than its deadline.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from engine.checkpoints.checkpoint_io import load_checkpoint
from engine.checkpoints.content import require_shape
from engine.errors import UserError
from engine.run.outcome import outcome
from engine.run.trust.locations import check_arguments
from engine.run.trust.stored_config import read_run_config
from engine.sweep.report import print_sweep
from engine.sweep.table import Row, Sweep, read_sweep
from tests.security.test_hostile_checkpoints import checkpoint, write

VALUES = st.sampled_from(
    [
        *(
            None,
            True,
            -1,
            10**30,
            float("nan"),
            "",
            "x",
            "../../x",
            "/any",
            "$HOME",
            "${oc.env:HOME}",
            "[/red]",
            "\x1b]0;x",
        ),
        *("=1+1", [], {}, [[]], {"_target_": "os.system"}, "9" * 5000),
    ]
)


def mutated(node: Any, draw: random.Random, value: Any) -> Any:
    """A copy with one entry, at any depth, replaced by the value, removed, or doubled."""
    if not isinstance(node, dict | list) or not node or draw.random() < 0.2:
        return value
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    key = draw.choice(keys)
    copy: Any = dict(node) if isinstance(node, dict) else list(node)
    if draw.random() < 0.2:
        del copy[key]
    else:
        copy[key] = mutated(copy[key], draw, value)
    return copy


def one_sentence(read: Callable[[], Any]) -> None:
    try:
        read()
    except UserError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
        assert str(error).isprintable()  # noqa: PT017


def of_bytes(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content) + 1)
    return draw.choice([content[:place], content[:place] + draw.randbytes(3) + content[place + 3 :], content * 2])


def fuzzing(examples: int) -> Any:
    quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=examples, deadline=5000, derandomize=True, database=None, suppress_health_check=quiet)


EXAMPLES = [4_000, pytest.param(250_000, marks=pytest.mark.slow)]  # a minute altogether, and in the soak an hour
seeds = st.integers(0, 2**32)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_ledgers(examples: int, tmp_path: Path) -> None:
    row = Row(0, {"seed": 1}, "python train.py seed=1", "completed", "val/acc", "max", 0.5, 0.5, 3, 1.0, "000_seed-1")
    Sweep(tmp_path, ["-m", "seed=0,1"], "/x", {0: row}).write()
    whole = (tmp_path / "sweep.json").read_text()

    @fuzzing(examples)
    @given(seeds, VALUES)
    def fuzz(seed: int, value: Any) -> None:
        draw = random.Random(seed)
        text = json.dumps(mutated(json.loads(whole), draw, value)).encode()
        (tmp_path / "sweep.json").write_bytes(of_bytes(text, draw) if draw.random() < 0.3 else text)
        one_sentence(lambda: print_sweep(read_sweep(tmp_path)))
        (tmp_path / "metrics.json").write_bytes(text)
        one_sentence(lambda: outcome(tmp_path))

    fuzz()


@pytest.mark.parametrize("examples", EXAMPLES)
def test_configs(examples: int, tmp_path: Path, run_dir: Path) -> None:
    whole: Any = OmegaConf.to_container(OmegaConf.load(run_dir / "config.yaml"), resolve=False)

    @fuzzing(examples // 4)
    @given(seeds, VALUES)
    def fuzz(seed: int, value: Any) -> None:
        draw = random.Random(seed)
        changed = mutated(whole, draw, value)
        text = json.dumps(changed).encode()  # which is YAML
        (tmp_path / "config.yaml").write_bytes(of_bytes(text, draw) if draw.random() < 0.3 else text)
        one_sentence(lambda: read_run_config(tmp_path, "resume=x"))
        one_sentence(lambda: check_arguments([f"name={value}", f"+a={value}"], tmp_path / "sweep.json"))

    fuzz()


@pytest.mark.parametrize("examples", EXAMPLES)
def test_checkpoints(examples: int, tmp_path: Path, run_dir: Path) -> None:
    whole = load_checkpoint(run_dir / "checkpoints" / "last.ckpt")
    whole["state_dict"] = {"w": torch.ones(2)}
    whole["optimizer_states"] = []

    @fuzzing(examples)
    @given(seeds, VALUES)
    def fuzz(seed: int, value: Any) -> None:
        draw = random.Random(seed)
        content = checkpoint(mutated(whole, draw, value))
        path = tmp_path / "checkpoints" / "last.ckpt"
        write(path, of_bytes(content, draw) if draw.random() < 0.5 else content)
        one_sentence(lambda: require_shape(load_checkpoint(path), path, to_resume=True))

    fuzz()
