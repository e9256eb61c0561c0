import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from runs.command_line import compose_resumed_run_from_its_config, rewrite_arguments
from runs.errors import UserError


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
    assert argv[:2] == ["seed=3", "trainer.max_epochs=9"]
    assert argv[argv.index("--config-path") + 1] == str(run_dir)
    assert argv[argv.index("--config-name") + 1] == "config"
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
    overrides = OverridesParser.create().parse_overrides(argv[: argv.index("--config-path")])
    values = {override.key_or_group: override.value() for override in overrides}
    assert values["resume"] == values["hydra.run.dir"] == str(directory)


def test_rewriting_twice_changes_nothing(run_dir: Path) -> None:
    """Lightning starts its other processes with the rewritten command line and some more."""
    once = compose_resumed_run_from_its_config([f"resume={run_dir}", "seed=1"])
    for more in ([], ["hydra.job.name=train_ddp_process_1"]):
        assert compose_resumed_run_from_its_config([*once, *more]) == [*once, *more]


@pytest.mark.parametrize("name", ["nothing", ""])
def test_directory_without_a_run(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=rf"^resume={tmp_path / name}: there is no config.yaml; give the directory of a run"
    ):
        compose_resumed_run_from_its_config([f"resume={tmp_path / name}"])


def test_rewrite_arguments(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", f"resume={run_dir}"])
    rewrite_arguments()
    assert sys.argv == ["train.py", *compose_resumed_run_from_its_config([f"resume={run_dir}"])]
    monkeypatch.setattr(sys, "argv", ["train.py", f"resume={run_dir}/none"])
    with pytest.raises(SystemExit, match=r"there is no config\.yaml"):
        rewrite_arguments()
