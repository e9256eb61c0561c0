"""What Hydra refuses, in a sentence a mistake."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from engine.config.composition import explained, refused_overrides
from engine.config.resolvers import register_resolvers


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    register_resolvers()
    yield
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("optimizr.lr=1", "there is no optimizr; did you mean optimizer?"),
        ("optimizer.lrr=1", "there is no lrr in optimizer; did you mean lr?"),
        (
            "optimizer.warmup=1",
            "there is no warmup in optimizer; there are fused, lr, momentum, nesterov, weight_decay",
        ),
        ("trainer.profiler.dirpath=x", "there is no dirpath in trainer.profiler; it has none"),
        ("seeed=1", "there is no seeed; did you mean seed?"),
        ("~optimizr", "there is no optimizr; did you mean optimizer?"),
        ("~optimizer.lrr", "there is no lrr in optimizer; did you mean lr?"),
        ("+seed=3", "already exists: leave out the +"),
        ("experiment=transfer_finetun", "there is no transfer_finetun in experiment; did you mean transfer_finetune?"),
        ("network=resnet81", "there is no resnet81 in network; did you mean resnet18?"),
        ("netwrk=resnet18", "there is no netwrk; did you mean network?"),
        ("callback=[default,early_stoping]", "there is no early_stoping in callback; did you mean early_stopping?"),
        (
            "optimizer=null",
            "takes the name of a choice, or several as [a,b]; there are adam, adamw, gradient_descent, sgd",
        ),
        (
            "scheduler={gamma: 1}",
            "takes the name of a choice, not a mapping; give settings one by one, as scheduler.NAME=",
        ),
        ("trainer=3", "takes the name of a choice, or several as [a,b]; there are auto, cpu, ddp, fsdp, gpu"),
        ("seed=1,2", "several values are a sweep, which needs -m; a single value that is a list is written [a,b]"),
        ("lr=1", "there is no lr; did you mean optimizer.lr?"),
        (
            "trainer.min_epochs=1",
            "there is no min_epochs in trainer; Trainer takes it, and +trainer.min_epochs=… adds it",
        ),
        ("loss.weight=[1,2]", "there is no weight in loss; CrossEntropyLoss takes it, and +loss.weight=… adds it"),
        ("epochs=1", "there is no epochs; did you mean trainer.max_epochs?"),
        ("batch_size=1", "there is no batch_size; did you mean datamodule.batch_size?"),
        ("optimizer.learning_rate=1", "there is no learning_rate in optimizer; did you mean lr?"),
        ("experiment=", "has no value; there are cifar10_airbench, "),
        ("hydra/job_logging=colorlog", "there is no colorlog in hydra/job_logging; there are default, disabled, none"),
        ("optimizer.lr=interval(0.1,1)", "an interval is searched by sweep=optuna; without it, list the values"),
        ("trainer.max_epochs", "cannot be read as key=value"),
        ("optimizer.lr==1", "cannot be read as key=value"),
        ("name=a b,c", "several values are a sweep"),
        ("hydra.run.dirr=x", "there is no dirr in hydra.run; did you mean dir?"),
    ],
)
def test_refusals(override: str, reason: str) -> None:
    refused, cfg = refused_overrides("train", [override, "trainer.max_epochs=3"])
    assert cfg is not None
    assert cfg.trainer.max_epochs == 3
    (line,) = refused.values()
    start, _, end = reason.partition(".*")
    assert line.startswith(f"{override}: {start}")
    assert end in line


def test_what_hydra_takes() -> None:
    overrides = ["network.name=x", "network=timm", "+optimizer.nesterov=true", "~callback.progress_bar", "name='a b'"]
    refused, cfg = refused_overrides("train", overrides)
    assert refused == {"+optimizer.nesterov=true": "+optimizer.nesterov=true: already exists: leave out the +"}
    assert cfg is not None
    assert (cfg.network.name, cfg.name) == ("x", "a b")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (
            "tab",
            "# @package _global_\nseed: 1\nnetwork:\n\tname: x\n",
            r"experiment/tab\.yaml, line 4: found character '\\t'",
        ),
        (
            "twice",
            "# @package _global_\nseed: 1\nseed: 2\n",
            r"experiment/twice\.yaml, line 3: found duplicate key seed",
        ),
        (
            "bom",
            "\ufeff# @package _global_\ndefaults:\n  - override /network: lenet\n",
            r"bom\.yaml starts with a byte order",
        ),
        ("bare", "defaults:\n  - override /network: lenet\n", r"bare\.yaml needs `# @package _global_` as its first"),
        (
            "mine/b",
            "# @package _global_\ndefaults:\n  - override /network: lenett\n",
            r"there is no lenett in network; did you",
        ),
        ("absent", None, r"there is no absent in experiment; did you mean present\?"),
    ],
)
def test_an_experiment_in_a_config_dir(name: str, text: str | None, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "experiment" / f"{name}.yaml"
    file.parent.mkdir(parents=True)
    (tmp_path / "experiment" / "present.yaml").write_text("# @package _global_\n")
    if text is not None:
        file.write_text(text)
    mistakes = [f"experiment={name}", "trainer.max_epoch=3"]
    refused, _ = refused_overrides("train", mistakes, config_dir=str(tmp_path))
    assert re.search(reason, refused[mistakes[0]])
    assert refused[mistakes[1]].endswith("there is no max_epoch in trainer; did you mean max_epochs?")
    assert not refused_overrides("train", ["experiment=present"], config_dir=str(tmp_path))[0]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("override /groupp: x", "there is no group groupp; there are augment, callback"),
        ("override /netwrk: x", "there is no group netwrk; did you mean network?"),
        ("override /optimizer/sgd: x", "there is no group optimizer/sgd; did you mean optimizer?"),
        ("override /scheduler: nope", "there is no nope in scheduler; there are constant, cosine"),
        ("override /callback: [plain, defualt]", "there is no defualt in callback; did you mean default?"),
        ("lenet_nlll", "there is no lenet_nlll in experiment; did you mean lenet_nll?"),
        ("/network: lenet", "conf/train.yaml chooses network already: write override /network"),
        ("override network: lenet", "write override /network: without the /, it is a group inside experiment"),
        ("overide /network: lenet", "overide is not a keyword; did you mean override?"),
        ("override /augment: light", "no experiment can choose augment, which follows it in conf/train.yaml"),
        ("[lenet_nll]", "an entry is `override /group: choice`, or the name of another file of this group"),
    ],
)
def test_a_wrong_entry_in_a_defaults_list(entry: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "experiment" / "mine.yaml"
    file.parent.mkdir()
    file.write_text(f"# @package _global_\n\ndefaults:\n  - override /datamodule: digits\n  - {entry}\n")
    (tmp_path / "experiment" / "outer.yaml").write_text("# @package _global_\ndefaults: [mine]\n")
    for name in ("mine", "outer"):
        refused, _ = refused_overrides("train", [f"experiment={name}"], config_dir=str(tmp_path))
        assert list(refused) == [f"experiment={name}"]
        assert refused[f"experiment={name}"].startswith(f"experiment={name}: {file}, line 5: {reason}")


def test_right_entries_in_a_defaults_list(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    entries = ["lenet_nll", "_self_", "/metrics: [f1]", "optional /network@other: none", "override /callback: [plain]"]
    text = "".join(f"  - {entry}\n" for entry in entries)
    (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\ndefaults:\n{text}")
    refused, _ = refused_overrides("train", ["experiment=mine", "optimizer.lrr=1"], config_dir=str(tmp_path))
    assert list(refused) == ["optimizer.lrr=1"]


def test_a_search_is_no_mistake() -> None:
    search = ["sweep=optuna", "optimizer.momentum=interval(0.5,0.9)", "optimizer.lrr=1", "network=lenet,resnet18"]
    refused, cfg = refused_overrides("train", search)
    assert list(refused) == ["optimizer.lrr=1"]
    assert cfg is not None
    assert (cfg.optimizer.momentum, cfg.sweep.study) == (0.5, "study.journal")


def test_of_a_sweep_the_first_values_and_all_choices_are_tried() -> None:
    swept = ["seed=1,2", "network=lenet,resnet18", "optimizer.lr=range(0,3)"]
    refused, cfg = refused_overrides("train", swept, multirun=True)
    assert refused == {}
    assert cfg is not None
    assert cfg.seed == 1
    assert cfg.network["_target_"] == "networks.lenet.LeNet"
    for swept in (["network=lenett,resnet18", "seed=1,2"], ["seed=1,2", "network=resnet18,lenett"]):
        refused, _ = refused_overrides("train", swept, multirun=True)
        (message,) = refused.values()
        assert message.endswith(": there is no lenett in network; did you mean lenet?")


def test_the_rest_of_the_command_line_is_looked_at_too() -> None:
    message = explained("train", ["optimizr.lr=1", "trainer.max_epochs=ten", "network=resnet81", "seed=abc"])
    assert message is not None
    assert message.splitlines() == [
        "The config has 4 mistakes:",
        "  network=resnet81: there is no resnet81 in network; did you mean resnet18?",
        "  optimizr.lr=1: there is no optimizr; did you mean optimizer?",
        "  seed=abc: must be a whole number",
        "  trainer.max_epochs=ten: must be a whole number",
    ]


def test_other_entry_points() -> None:
    message = explained("export", ["formt=onnx"])
    assert message == "formt=onnx: there is no formt; did you mean format?"


def test_nothing_to_explain() -> None:
    assert explained("train", ["seed=1"]) is None
