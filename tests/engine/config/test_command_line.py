import json
import sys
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser

from engine.config.command_line import (
    RESUMED_RUN,
    compose_resumed_run_from_its_config,
    compose_resumed_sweep_from_its_arguments,
    rewrite_arguments,
    with_paths,
)
from engine.errors import UserError


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / "config.yaml").write_text("seed: 0\n")
    return directory


@pytest.mark.parametrize("argv", [[], ["experiment=x", "seed=0"], ["resume=null", "seed=1"], ["datamodule.resume=a"]])
def test_other_command_lines_stay_as_they_are(argv: list[str]) -> None:
    assert compose_resumed_run_from_its_config(argv) == argv


def test_resume_composes_from_the_runs_own_config(run_dir: Path) -> None:
    argv = compose_resumed_run_from_its_config(["seed=3", f"resume={run_dir}", "trainer.max_epochs=9"])
    assert argv[:4] == ["--config-name", RESUMED_RUN, "seed=3", "trainer.max_epochs=9"]
    assert ConfigStore.instance().load(f"{RESUMED_RUN}.yaml").node == {"seed": 0}
    assert "hydra.output_subdir=null" in argv


def test_directory_is_taken_from_here(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run_dir.parent)
    assert compose_resumed_run_from_its_config(["resume=run/"]) == compose_resumed_run_from_its_config(
        [f"resume={run_dir}"]
    )


@pytest.mark.parametrize("name", ["a b", "a=b,c", "{a}[b](c)", "it's", 'said "so"', "back\\slash", "a$b", "1,2", "ü"])
def test_hydra_reads_the_directory_as_it_is(name: str, run_dir: Path) -> None:
    directory = run_dir.rename(run_dir.with_name(name))
    argv = compose_resumed_run_from_its_config([f"resume={directory}"])
    overrides = OverridesParser.create().parse_overrides(argv[2:])
    values = {override.key_or_group: override.value() for override in overrides}
    assert values["resume"] == values["hydra.run.dir"] == str(directory)


def test_rewriting_twice_changes_nothing(run_dir: Path) -> None:
    """Lightning starts its other processes with the rewritten command line and some more."""
    once = compose_resumed_run_from_its_config([f"resume={run_dir}", "seed=1"])
    for more in ([], ["hydra.job.name=train_ddp_process_1"]):
        assert compose_resumed_run_from_its_config([*once, *more]) == [*once, *more]


@pytest.mark.parametrize("name", ["nothing", ""])
def test_directory_without_a_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lacking = r"no such run, and no other under logs/\.$" if name else "no config.yaml;"
    with pytest.raises(UserError, match=rf"^resume={tmp_path / name}: there is {lacking}"):
        compose_resumed_run_from_its_config([f"resume={tmp_path / name}"])


def test_rewrite_arguments(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", f"resume={run_dir}"])
    rewrite_arguments()
    assert sys.argv == ["train.py", *compose_resumed_run_from_its_config([f"resume={run_dir}"])]
    monkeypatch.setattr(sys, "argv", ["train.py", f"resume={run_dir}/none"])
    with pytest.raises(SystemExit, match="there is no such run"):
        rewrite_arguments()


@pytest.fixture
def sweep_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "a sweep"
    directory.mkdir()
    arguments = ["--config-dir", "mine", "-m", "experiment=x", "seed=0,1", "hydra.sweep.dir=elsewhere"]
    (directory / "sweep.json").write_text(json.dumps({"arguments": arguments, "cwd": str(tmp_path)}))
    monkeypatch.chdir(tmp_path)
    return directory


@pytest.mark.parametrize("argv", [[], ["-m", "seed=0,1"], ["sweep.resume=null"], ["sweep=seeds", "sweep.n=2"]])
def test_other_sweeps_stay_as_they_are(argv: list[str]) -> None:
    assert compose_resumed_sweep_from_its_arguments(argv) == argv


@pytest.mark.parametrize("given", [["-m", "sweep.resume=a sweep"], ["sweep.resume=a sweep/", "--multirun"]])
def test_a_resumed_sweep_has_the_arguments_of_the_first(given: list[str], sweep_dir: Path) -> None:
    added = ["--config-dir", "mine", "launcher=joblib", "seed=0,1,2"]
    argv = compose_resumed_sweep_from_its_arguments([*given, *added])
    assert argv[:6] == ["-m", "experiment=x", *added]
    overrides = {o.key_or_group: o.value() for o in OverridesParser.create().parse_overrides(argv[6:])}
    assert overrides == {"sweep.resume": str(sweep_dir), "hydra.sweep.dir": str(sweep_dir)}


@pytest.mark.parametrize("argument", ["--version", "-p", "--cfg=x"])
def test_a_strangers_sweep_does_not_end_the_process(argument: str, sweep_dir: Path) -> None:
    ledger = json.loads((sweep_dir / "sweep.json").read_text())
    (sweep_dir / "sweep.json").write_text(json.dumps({**ledger, "arguments": ["-m", argument]}))
    with pytest.raises(UserError, match=r"sweep.json: a sweep cannot have been started with -m "):
        compose_resumed_sweep_from_its_arguments([f"sweep.resume={sweep_dir}"])


def test_a_sweep_does_not_say_where_configs_lie(sweep_dir: Path) -> None:
    with pytest.raises(UserError, match="it was started with --config-dir mine: give it again"):
        compose_resumed_sweep_from_its_arguments([f"sweep.resume={sweep_dir}"])


def test_a_sweep_goes_on_where_it_was_started(
    sweep_dir: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    with pytest.raises(UserError, match=f"the sweep was started in {sweep_dir.parent}: continue it there"):
        compose_resumed_sweep_from_its_arguments(["--config-dir", "mine", f"sweep.resume={sweep_dir}"])
    moved = sweep_dir.parent.rename(elsewhere / "moved") / sweep_dir.name
    given = ["--config-dir", "mine", f"sweep.resume={moved}"]
    assert compose_resumed_sweep_from_its_arguments(given)[-1].endswith(f'/{sweep_dir.name}"')


def test_directory_without_a_sweep(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^sweep.resume={tmp_path}: there is no sweep.json"):
        compose_resumed_sweep_from_its_arguments([f"sweep.resume={tmp_path}"])


@pytest.mark.parametrize(
    "name", ["last", "digits/2026", "logs/digits/2026_a/report.html", "logs/digits/2026_a/checkpoints/last.ckpt"]
)
def test_a_run_is_resumed_by_any_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "logs" / "digits" / "2026_a"
    (directory / "checkpoints").mkdir(parents=True)
    for file in ("config.yaml", "report.html", "checkpoints/last.ckpt", "checkpoints/best.ckpt"):
        (directory / file).write_text("seed: 0\n" if file == "config.yaml" else "")
    assert f'resume="{directory}"' in compose_resumed_run_from_its_config([f"resume={name}"])
    assert with_paths([f"init_from={name}", "seed=1"]) == ['init_from="logs/digits/2026_a"', "seed=1"]
    with pytest.raises(UserError, match=r"continues from its last.ckpt.* init_from=logs/digits/2026_a"):
        compose_resumed_run_from_its_config(["resume=logs/digits/2026_a/checkpoints/best.ckpt"])
