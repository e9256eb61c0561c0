import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from engine.config.sweep_job import (
    MAX_NAME,
    Setting,
    finite,
    is_about_the_sweep,
    key_of,
    name_of,
    one_of_each_kind,
    repeat,
    settings_of,
    standing,
    sweep_name,
)


@pytest.mark.parametrize(
    "override",
    ["a.b=1", "+a.b=1", "++a.b='x=y'", "a.b='u@v=w'", "~a.b", "+group/name@package=x", "a.b=[1,2]"],
)
def test_key_is_hydras_own(override: str) -> None:
    assert key_of(override) == OverridesParser.create().parse_override(override).key_or_group


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("sweep=seeds", True),
        ("sweep.n=3", True),
        ("launcher=joblib", True),
        ("hydra/launcher=basic", True),
        ("hydra.sweep.dir=a", True),
        ("+hydra.launcher.x=1", True),
        ("sweeper.n=3", False),
        ("optimizer.lr=1", False),
    ],
)
def test_what_is_about_the_sweep(override: str, expected: bool) -> None:
    assert is_about_the_sweep(override) == expected


def test_settings_are_typed_and_without_what_is_shared() -> None:
    overrides = ["seed=3", "optimizer.lr=1e-3", "cache=false", "network=resnet18", "+x='a, b'", "y=null", "z=[1,a]"]
    assert settings_of(["experiment=e", "sweep.trial=7", *overrides], leave_out=["experiment"]) == {
        "seed": 3,
        "optimizer.lr": 0.001,
        "cache": False,
        "network": "resnet18",
        "x": "a, b",
        "y": None,
        "z": "[1,a]",
    }


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"optimizer.lr": 0.01, "seed": 1}, "003_lr-0.01_seed-1"),
        ({"optimizer.lr": 0.01, "scheduler.lr": 1e-05}, "003_optimizer.lr-0.01_scheduler.lr-1e-05"),
        ({"datamodule.data_dir": "/some/where/photos"}, "003_data_dir-some-where-photos"),
        ({"loss": "größe, (x=1)"}, "003_loss-gr-e-x-1"),
        ({"shift": -0.5}, "003_shift--0.5"),
        ({"cache": True, "compile": None}, "003_cache-true_compile-null"),
        ({}, "003"),
    ],
)
def test_name_is_readable(settings: dict[str, Setting], expected: str) -> None:
    assert name_of(3, settings) == expected


@pytest.mark.parametrize("value", ["a=b,c", "[1,2]", "{a:1}", "$x ${y}", "'q'", "x" * 500, "..", "ü/\\\n\t*?"])
def test_any_name_is_one_folder_that_hydra_takes_without_quotes(value: str, tmp_path: Path) -> None:
    name = name_of(1, {f"key{number}": value for number in range(6)})
    assert len(name) <= MAX_NAME
    (tmp_path / name).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert OverridesParser.create().parse_override(f"run=logs/{name}").value() == f"logs/{name}"


def test_repeat_leaves_out_what_was_the_sweeps() -> None:
    overrides = ["experiment=e", "sweep=seeds", "launcher=ray", "seed=3", "name='a b'"]
    command = repeat(overrides)
    assert shlex.split(command) == ["python", "train.py", "experiment=e", "seed=3", "name='a b'"]


def test_a_job_on_stand_in_data_is_found(tmp_path: Path) -> None:
    assert standing(tmp_path / "003_a-1") == tmp_path / "003_a-1"
    (tmp_path / "003_a-1_stand-in").mkdir()
    assert standing(tmp_path / "003_a-1") == tmp_path / "003_a-1_stand-in"
    assert standing(tmp_path / "003_a-1_stand-in") == tmp_path / "003_a-1_stand-in"


@pytest.mark.parametrize(
    ("value", "expected"), [(1, 1.0), (0.5, 0.5), ("nan", None), (None, None), (float("inf"), None)]
)
def test_finite(value: object, expected: float | None) -> None:
    assert finite(value) == expected


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["seed=0,1"], "chosen_sweep"),
        (["experiment=chosen", "seed=0,1"], "chosen_sweep"),
        (["experiment=a,b"], "experiments_sweep"),
        (["experiment=choice(a,b)"], "experiments_sweep"),
    ],
)
def test_sweep_is_named_for_the_experiment_if_it_is_one(overrides: list[str], expected: str) -> None:
    hydra = {"overrides": {"task": overrides}, "runtime": {"choices": {"experiment": "chosen"}}}
    assert sweep_name(_root_=OmegaConf.create({"hydra": hydra})) == expected


def test_numbers_of_another_type_are_another_kind() -> None:
    jobs = [(f"datamodule.batch_size={value}",) for value in ("4", "8", "0.5", "abc")]
    assert one_of_each_kind(jobs) == [jobs[0], jobs[2], jobs[3]]
