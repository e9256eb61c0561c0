"""`name=`, `tags=` and `notes=` of a run, and what they must not change."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from engine.compare.runs import chosen, read_run
from engine.compare.sides import sides_of
from engine.errors import UserError
from tests.conftest import RunTrain, Train, metrics_of

QUICK = ("experiment=regression_two_layer_net", "trainer=cpu", "trainer.max_epochs=1")
NOTES = "a, [b] {x:c} <i> ~/photos"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, train_here: Train) -> list[Path]:
    here = tmp_path_factory.mktemp("names")
    named = ('name="../first try"', "tags=[baseline,flips]", f'notes="{NOTES}"')
    return [train_here(here, *QUICK, *settings) for settings in (named, ())]


def test_a_run_is_found_by_its_name(runs: list[Path]) -> None:
    assert runs[0].name.startswith("first-try_2")
    assert runs[0].parent.name == "regression_two_layer_net"
    known = metrics_of(runs[0])
    assert [known[key] for key in ("experiment", "name", "tags", "notes")] == [
        "regression_two_layer_net",
        "../first try",
        ["baseline", "flips"],
        NOTES,
    ]


def test_runs_that_differ_in_it_have_one_setting(runs: list[Path]) -> None:
    first, second = map(read_run, runs)
    assert first.setting == second.setting
    assert (first.experiment, first.tags, first.notes) == ("regression_two_layer_net", ["baseline", "flips"], NOTES)
    sides, _ = sides_of([[first], [second]])
    assert len(sides) == 2
    assert chosen([first, second], {"tags": "flips"}) == [first]
    assert chosen([first, second], {"tags": "[baseline,flips]"}) == [first]
    assert chosen([first, second], {"name": "../first try"}) == [first]
    assert chosen([first, second], {"tags": "other"}) == []


def test_the_page_has_it(runs: list[Path]) -> None:
    page = (runs[0] / "report.html").read_text(encoding="utf-8")
    assert "<h1>../first try</h1>" in page
    assert "regression_two_layer_net, tags: baseline, flips" in page
    assert "a, [b] {x:c} &lt;i&gt; ~/photos" in page
    assert "how well does gradient descent" in page


def test_tags_may_change_as_a_run_goes_on(runs: list[Path], train_here: Train) -> None:
    here, directory = runs[0].parents[2], runs[0].relative_to(runs[0].parents[2])
    train_here(here, f"resume={directory}", "trainer.max_epochs=2", "tags=[final]", config=())
    assert OmegaConf.load(runs[0] / "config.yaml").tags == ["final"]
    assert json.loads((runs[0] / "metrics.json").read_text())["tags"] == ["final"]


@pytest.mark.parametrize(
    ("setting", "says"),
    [("tags=flips", r"tags=flips: must be a list of names, as tags=\[flips\]"), ("name=", "name=: has no value")],
)
def test_refused(setting: str, says: str, tmp_path: Path, train_here: Train) -> None:
    with pytest.raises(UserError, match=says):
        train_here(tmp_path, *QUICK, setting)


def test_a_name_made_of_settings(tmp_path: Path, train_here: Train) -> None:
    directory = train_here(tmp_path, "experiment=regression_static_graph", "name='${experiment}-${seed}'", "seed=3")
    assert directory.name.startswith("regression_static_graph-3_")
    assert metrics_of(directory)["name"] == "regression_static_graph-3"
    assert "<title>regression_static_graph-3:" in (directory / "report.html").read_text()


def test_settings_that_refer_to_others_follow_them_in_a_sweep(tmp_path: Path, run_train: RunTrain) -> None:
    swept = ("-m", "optimizer.lr=1e-6,2e-6", "name='rate ${optimizer.lr}'", "tags=['${seed}']", "seed=5")
    done = run_train("experiment=regression_static_graph", "trainer=cpu", *swept, "hydra.sweep.dir=s", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = [metrics_of(directory) for directory in sorted((tmp_path / "s").glob("0*"))]
    assert [(metrics["name"], metrics["tags"]) for metrics in found] == [("rate 1e-06", [5]), ("rate 2e-06", [5])]
