"""Hostile directories of strangers, mutated at random, under every command: none is exploited, hangs or falls.

A failure shows by a canary that is changed, by more than 60 seconds, by a traceback, or by another exit code than 0 or
1. `python -m pytest -k "[7]"` repeats the seventh; the message says what is hostile in it.
"""

import json
import random
import shutil
from pathlib import Path

import pytest

from tests.conftest import Train, run_script
from tests.security.hostile_directories import hostile, tried

DIGITS = ("experiment=lenet_nll", "trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=0.1", "seed=1")


@pytest.fixture(scope="module")
def bases(
    run_dir: Path, data_dir: Path, train_here: Train, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """What is mutated: a run on digits, one on features with all that is made of it, a sweep, a cache and an export."""
    folder = tmp_path_factory.mktemp("bases")
    digits = train_here(folder, *DIGITS, "logger=[tensorboard,csv]")
    features = Path(shutil.copytree(run_dir, folder / "features_run"))
    for command in (
        ("evaluate.py", "calibrate=true"),
        ("predict.py", f"input={data_dir}"),
        ("export.py", "format=onnx"),
        ("train.py", "-m", "callback=[plain]", *DIGITS, "seed=1,2", "hydra.sweep.dir=sweep"),
    ):
        run = () if command[0] == "train.py" else (f"run={features}",)
        done = run_script(*command, *run, cwd=folder)
        assert done.returncode == 0, done.stderr
    sweep = json.loads((folder / "sweep" / "sweep.json").read_text())
    (folder / "sweep" / "sweep.json").write_text(json.dumps(sweep | {"cwd": "/not there"}))
    export = folder / "export"
    export.mkdir()
    for name in ("network.onnx", "network.onnx.json"):
        shutil.copy(features / name, export)
    (cache,) = run_dir.parents[2].glob("**/features")
    return {"digits": digits, "features": features, "sweep": folder / "sweep", "cache": cache, "export": export}


def commands(kind: str, run: Path, bases: dict[str, Path], photos: Path) -> list[tuple[str, ...]]:
    """Each with its script; `run` is the hostile directory."""
    photo = f"input={photos / 'hymenoptera_data' / 'val' / 'ants'}"
    if kind == "cache":
        intact = run.parent / "intact"
        shutil.copytree(bases["features"], intact)
        return [("train.py", f"resume={intact}", f"features.cache_dir={run}", "trainer.max_epochs=4")]
    if kind == "export":
        model = ("output=out.csv", f"model={run / 'network.onnx'}", "num_workers=0")
        return [("predict.py", f"run={bases['features']}", photo, *model)]
    if kind == "sweep":
        job = min(run.glob("*/config.yaml"), default=run / "001" / "config.yaml").parent
        return [
            ("train.py", "-m", f"sweep.resume={run}"),
            ("compare.py", f"{run}"),
            ("report.py", f"run={job}"),
            ("evaluate.py", f"run={job}"),
        ]
    of_runs: list[tuple[str, ...]] = [
        ("evaluate.py", f"run={run}"),
        ("export.py", f"run={run}", "format=state_dict"),
        ("export.py", f"run={run}", "format=safetensors", "checkpoint=last"),
        ("report.py", f"run={run}"),
        ("compare.py", f"{run}", f"{bases[kind]}"),
        ("train.py", f"resume={run}", "trainer.max_epochs=4"),
        ("train.py", f"resume={run}"),
        ("train.py", *DIGITS, f"init_from={run}", "hydra.run.dir=new"),
    ]
    return [*of_runs, ("predict.py", f"run={run}", photo, "num_workers=0")] if kind == "features" else of_runs


def withstood(seed: int, bases: dict[str, Path], photos: Path, folder: Path) -> None:
    draw = random.Random(f"command {seed}")
    kind = draw.choice(("digits", "digits", "features", "features", "features", "sweep", "cache", "export"))
    run, told = hostile(bases[kind], folder, seed)
    command = draw.choice(commands(kind, run, bases, photos))
    wrong = tried(folder, folder / "output.txt", *command)
    assert wrong is None, f"{told}: {' '.join(command)}: {wrong}"


@pytest.mark.parametrize("seed", range(12))
def test_a_few(seed: int, bases: dict[str, Path], data_dir: Path, tmp_path: Path) -> None:
    withstood(seed, bases, data_dir, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 400))
def test_three_hundred(seed: int, bases: dict[str, Path], data_dir: Path, tmp_path: Path) -> None:
    withstood(seed, bases, data_dir, tmp_path)
