from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from engine.config.arguments import gather_overrides, given_path, quote_values
from engine.errors import UserError

PATHS = ["a b/IMG (1).jpg", "x,y.jpg", "lr=0.1/seed=2", "[old]/photo{2}.png", 'the "best".jpg', "it's.jpg", "plain.jpg"]


@pytest.mark.parametrize("path", PATHS)
def test_any_path_comes_through_hydras_grammar(path: str) -> None:
    (override,) = OverridesParser.create().parse_overrides(quote_values([f"input={path}"], ["input"]))
    assert override.value() == path


def test_what_needs_no_quotes_stays_as_it_is() -> None:
    argv = ["--cfg", "job", "input='a,b'", "output=null", "format=onnx", "run="]
    assert quote_values(argv, ["input", "output", "run"]) == argv


def test_a_sweeps_comma_still_separates() -> None:
    assert quote_values(["-m", "run=a,b"], ["run"]) == ["-m", "run=a,b"]


def test_what_evaluate_does_not_know_is_meant_for_the_run() -> None:
    own = ["run=logs/x", "split=test", "hydra/job_logging=none", "hydra.verbose=true", "--cfg", "job", "--config-dir=x"]
    foreign = ["datamodule.data_dir=/a b,c", "trainer.devices=1"]
    *rest, gathered = gather_overrides([*own, *foreign], "evaluate")
    assert rest == own
    (override,) = OverridesParser.create().parse_overrides([gathered])
    assert override.key_or_group == "overrides"
    assert override.value() == foreign


def test_gathering_twice_is_gathering_once() -> None:
    """The processes that Lightning starts get the rewritten command line."""
    once = gather_overrides(["run=x", "trainer.devices=1"], "evaluate")
    assert gather_overrides(once, "evaluate") == once
    assert gather_overrides(["run=x"], "evaluate") == ["run=x"]


def test_a_path_that_must_be_given() -> None:
    cfg = OmegaConf.create({"run": "???", "input": "photos"})
    assert given_path(cfg, "input", "a folder") == Path("photos")
    with pytest.raises(UserError, match=r"^Give run=…, the directory of a run\.$"):
        given_path(cfg, "run", "the directory of a run")
