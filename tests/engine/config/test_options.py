from pathlib import Path

import pytest

from engine.config.options import misread, options_first, readable
from engine.errors import UserError


@pytest.mark.parametrize(
    ("given", "rewritten"),
    [
        ("a=1 --config-dir d -m b=2", "--config-dir d -m a=1 b=2"),
        ("a=1 --config-dir=d --cfg job", "--config-dir=d --cfg job a=1"),
        ("~a --multirun b=-1", "--multirun ~a b=-1"),
        ("a=1 -cn x -cd y b=2", "-cn x -cd y a=1 b=2"),
        ("a=1 b=2", "a=1 b=2"),
        ("", ""),
    ],
)
def test_options_come_first(given: str, rewritten: str) -> None:
    assert options_first(given.split()) == rewritten.split()
    assert options_first(rewritten.split()) == rewritten.split()


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ("--experiment X --epochs 3", "--experiment: write experiment=X, without dashes"),
        ("a=1 --lr=3", "--lr=3: write lr=3, without dashes"),
        ("--fast a=1", "--fast: write fast=…, without dashes"),
    ],
)
def test_an_unknown_option_is_a_key(given: str, advice: str) -> None:
    with pytest.raises(UserError) as caught:
        options_first(given.split())
    assert str(caught.value).startswith(advice)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("name=a#b", 'name="a#b"'),
        ("datamodule.data_dir=my photos (1)", 'datamodule.data_dir="my photos (1)"'),
        ("datamodule.data_dir=a=b=c", 'datamodule.data_dir="a=b=c"'),
        ("datamodule.data_dir=~/photos", 'datamodule.data_dir="/home/me/photos"'),
        ('datamodule.data_dir="~/photos"', 'datamodule.data_dir="/home/me/photos"'),
        ("hydra.run.dir=~/a/${name}", 'hydra.run.dir="/home/me/a/${name}"'),
        ("+x=~", '+x="/home/me"'),
        ("datamodule.data_dir=2024", 'datamodule.data_dir="2024"'),
        ("datamodule.data_dir=null", 'datamodule.data_dir="null"'),
        ("name=1e5", 'name="1e5"'),
        ('notes=first, with [a] "b"', r'notes="first, with [a] \"b\""'),
        ("notes=null", "notes=null"),
        ("logger=null", "logger=[]"),
        ("callback=false", "callback=[]"),
        *((same, same) for same in ("~logger", "seed=range(0,3)", "x=choice(a,b)", "x={a: 1, b: [2]}", "x=a~b", "x=")),
        *((same, same) for same in ("x=tag(log,interval(1e-4,1))", "x='a b'", "x=${oc.env:HOME}", "a,b", "sweep=null")),
    ],
)
def test_values_are_read_as_meant(given: str, read: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert readable(given) == read


@pytest.mark.parametrize("name", ["[a]", "a,b", "{a}", "it's"])
def test_a_folder_that_exists_is_meant(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert readable(f"datamodule.data_dir={name}") == f"datamodule.data_dir={name}"
    Path(name).mkdir()
    assert readable(f"datamodule.data_dir={name}") == f'datamodule.data_dir="{name}"'
    assert readable(f"name={name}") == f"name={name}"
    assert readable(f"datamodule.data_dir={tmp_path}") == f"datamodule.data_dir={tmp_path}"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["lr", "=", "0.1"], "lr =: leave out the spaces around =."),
        (["lr=", "0.1"], "lr= 0.1: leave out the spaces around =."),
        (
            ["logger=[tensorboard,", "csv]"],
            "logger=[tensorboard,: leave out the spaces, or quote all of it: 'logger=[tens",
        ),
        (["lenet_nll"], "lenet_nll: did you mean experiment=lenet_nll?"),
        (["seed=1", "nothing"], "nothing: each argument is key=value."),
        (["hydra/launcher=joblib"], "hydra/launcher=joblib: write launcher=joblib."),
        (["a=1", "+hydra/launcher=basic"], "+hydra/launcher=basic: write launcher=NAME; there are joblib, local"),
        (["hydra/sweeper=nope"], "hydra/sweeper=nope: write sweep=NAME; there are optuna, seeds"),
        (["x={a:", "[1,", "2]}", "y=1"], "x={a:: leave out the spaces, or quote all of it: 'x={a: [1, 2]}'."),
        (["~logger", "x=[1,2]", "a=b", "x="], None),
        (["run='a b=c,[d'", "x=1"], None),
        (["notes='a {b'", "x=[1]"], None),
    ],
)
def test_what_a_shell_has_split(given: list[str], says: str | None) -> None:
    mistake = misread(given)
    assert mistake is says or (mistake is not None and says is not None and mistake.startswith(says))
