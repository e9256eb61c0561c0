"""What Hydra refuses, in a sentence a mistake."""

from collections.abc import Iterator

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
            "there is no warmup in optimizer; there are fused, lr, momentum, .*; +optimizer.warmup=… adds",
        ),
        ("trainer.profiler.dirpath=x", "there is no dirpath in trainer.profiler; there are none"),
        ("seeed=1", "there is no seeed; did you mean seed?"),
        ("~optimizr", "there is no optimizr; did you mean optimizer?"),
        ("~optimizer.lrr", "there is no lrr in optimizer; did you mean lr?"),
        ("+seed=3", "is there already: leave out the +"),
        ("experiment=transfer_finetun", "there is no transfer_finetun in experiment; did you mean transfer_finetune?"),
        ("network=resnet81", "there is no resnet81 in network; did you mean resnet18?"),
        ("netwrk=resnet18", "there is no netwrk; did you mean network?"),
        ("callback=[default,early_stoping]", "there is no early_stoping in callback; did you mean early_stopping?"),
        (
            "optimizer=null",
            "takes the name of a choice, or several as [a,b]; there are adam, adamw, gradient_descent, sgd",
        ),
        ("trainer=3", "takes the name of a choice, or several as [a,b]; there are auto, cpu, ddp, fsdp, gpu"),
        ("seed=1,2", "several values are a sweep, started with -m; one value that is a list is [a,b]"),
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
    assert refused == {"+optimizer.nesterov=true": "+optimizer.nesterov=true: is there already: leave out the +"}
    assert cfg is not None
    assert (cfg.network.name, cfg.name) == ("x", "a b")


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
    assert message == "The config has a mistake:\n  formt=onnx: there is no formt; did you mean format?"


def test_nothing_to_explain() -> None:
    assert explained("train", ["seed=1"]) is None
