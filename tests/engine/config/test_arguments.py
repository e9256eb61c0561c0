from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from engine.config.arguments import quoted, read_arguments, unquoted
from engine.errors import UserError

PATHS = [
    "a b/IMG (1).jpg",
    "x,y.jpg",
    "lr=0.1/seed=2",
    "[old]/photo{2}.png",
    'the "best".jpg',
    "it's.jpg",
    "a\\",
    "123",
]


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty run in logs/, where the test is."""
    monkeypatch.chdir(tmp_path)
    directory = Path("logs", "lenet", "2026-01-01")
    (directory / "checkpoints").mkdir(parents=True)
    (directory / "config.yaml").touch()
    (directory / "checkpoints" / "last.ckpt").touch()
    return directory


@pytest.mark.parametrize("path", PATHS)
def test_a_path_may_hold_any_characters(path: str, run: Path) -> None:
    run = run if "/" in path else run.rename(path)
    settings = read_arguments("predict", [f"run={run}", f"input={path}", f"output={path}.csv"])
    assert (settings["run"], settings["input"], settings["output"]) == (run, path, f"{path}.csv")


def test_numbers_null_and_what_is_not_given_come_from_the_file(run: Path) -> None:
    settings = read_arguments("predict", ["run=last", "input=~/x.jpg", "batch_size=4", "num_workers=null"])
    assert settings == {
        "run": run,
        "input": str(Path.home() / "x.jpg"),
        "output": None,
        "checkpoint": "best",
        "contact_sheet": None,
        "contact_sheet_photos": 200,
        "precision": "32",
        "tta": None,
        "model": None,
        "batch_size": 4,
        "num_workers": None,
    }
    assert read_arguments("export", ["run=last", "input_shape=[3, 8,8]", "tolerance=1e-3"])["input_shape"] == [3, 8, 8]


def test_what_evaluate_does_not_know_is_meant_for_the_run() -> None:
    foreign = ["datamodule.data_dir=/a b,c", "trainer.devices=1", "seed=3"]
    settings: Any = read_arguments("evaluate", ["run=last", foreign[0], "split=test", *foreign[1:]], overrides=True)
    assert settings["overrides"] == foreign
    assert settings["split"] == "test"


def test_a_checkpoint_names_its_run_and_itself(run: Path) -> None:
    path = run / "checkpoints" / "last.ckpt"
    settings = read_arguments("evaluate", [f"run={path}"], overrides=True)
    assert (settings["run"], settings["checkpoint"]) == (run, "last")
    with pytest.raises(
        UserError, match=r"^checkpoint=best: run=.*last\.ckpt names another one: leave one of them out\.$"
    ):
        read_arguments("evaluate", [f"run={path}", "checkpoint=best"], overrides=True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run=last"], "Give input=…, a photo, a folder of photos or a glob."),
        (["run=last", "input=a", "input=b"], "input is given twice: input=a and input=b."),
        (["run=last", "--input", "a"], "--input: write input=a, without dashes."),
        (["--input=a"], "--input=a: write input=a, without dashes."),
        (["-m", "run=a,b"], "-m: predict.py takes key=value, and --help."),
        (["run=last", "inptu=a"], "inptu=a: predict.py has no setting inptu; did you mean input?"),
        (["logs/lenet"], "logs/lenet is not key=value; did you mean run=logs/lenet?"),
        (
            ["run=last", "input=a", "b.jpg"],
            "b.jpg is not key=value; quote a value that has spaces, 'key=a b'; for several photos ",
        ),
        (["run=last", "input", "=", "a"], "input: leave out the spaces around =."),
        (["run=last", "input="], "input= has no value: give a photo, a folder of photos or a glob."),
        (["run=last", "input=a", "batch_size=x"], "batch_size=x: must be a whole number, at least 1."),
        (["run=last", "input=a", "batch_size=[1"], "batch_size=[1: must be a whole number, at least 1."),
        (["run=last", "input=a", "num_workers=-1"], "num_workers=-1: must be a whole number, at least 0."),
        (["run=nowhere", "input=a"], "run=nowhere: there is no such run; "),
    ],
)
def test_mistakes_are_one_sentence(arguments: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        read_arguments("predict", arguments)
    assert str(caught.value).startswith(sentence)


def test_a_misspelt_key_of_evaluates_own_is_not_the_runs() -> None:
    with pytest.raises(UserError, match=r"evaluate\.py has no setting splitt; did you mean split\?"):
        read_arguments("evaluate", ["run=last", "splitt=test"], overrides=True)


@pytest.mark.parametrize("tool", ["evaluate", "predict", "export", "report"])
def test_help_is_the_files_header(tool: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read_arguments(tool, ["run=x", "--help"])
    assert not caught.value.code
    text = capsys.readouterr().out
    assert f"\n\n  python {tool}.py run=DIR " in text
    assert "#" not in text


@given(st.one_of(st.text(alphabet="ab\\\"'${}:. ~,[]()=\n", max_size=12), st.text(max_size=12)))
def test_what_is_quoted_comes_through_hydras_grammar_and_omegaconfs(text: str) -> None:
    value: Any = OverridesParser.create().parse_override(f"key={quoted(text)}").value()
    config = OmegaConf.create({"key": getattr(value, "text", value), "link": "${key}"})
    assert config.key == config.link == text == unquoted(quoted(text))


@pytest.mark.parametrize("given", ["'a b'", '"a b"', "a b"])
def test_a_run_may_be_quoted_as_for_hydra(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a b").mkdir()
    Path("a b/config.yaml").touch()
    assert read_arguments("evaluate", [f"run={given}"])["run"] == Path("a b")
    Path("'a b'").mkdir()
    Path("'a b'/config.yaml").touch()
    assert read_arguments("evaluate", ["run='a b'"])["run"] == Path("'a b'")
