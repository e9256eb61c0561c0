"""How fast the CIFAR-10 experiments train compared with plain loops: `python benchmarks/cifar10.py --data-dir DIR`.

Steps per second at batch size 4 with the tutorials' small network:
  (a) their plain loop: PIL images, transforms per image, a DataLoader with 2 workers, torch's number of threads
  (b) the same plain loop on one float tensor in memory, one thread
  (c) `experiment=cifar10_net` through our Trainer, with progress bar, TensorBoard and checkpoints
  (f) like (c), but careless: without the cost of bit-identical resuming, complete checkpoints and checking each loss
Images per second with airbench's network, batch size 1024:
  (d) a bare loop: augmentation, forward, backward, optimizer and scheduler, nothing else
  (e) `experiment=cifar10_airbench` through our Trainer, with all of its callbacks
  (g) like (e), but careless
  (p) the FLOP/s of a convolution, the fastest of several shapes; (e)'s share of it counts only airbench's convolutions

(a), (b), (c), (f) and then (d), (e), (g), (p) take turns, so that other load on the machine affects all of them, and
each round gives its ratios; medians are reported. Validation is not counted, checkpoints are. Prints the results and
writes them, with every round, to a JSON file.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pytorch_lightning import Callback
from torch import nn

from benchmarks.plain_cifar10 import (
    BATCH,
    bare_airbench,
    convolution_peak,
    flop_per_image,
    plain_pil,
    plain_tensor,
)
from datamodules.cifar10_files import read_cifar10
from engine.build import build_module, build_network
from engine.checkpoints.checkpoint_io import AtomicCheckpointIO
from engine.config.resolvers import register_resolvers
from engine.paths import CONF
from engine.run.data_facts import data_facts
from engine.speed.memory import keep_freed_memory
from engine.training.procedure import Procedure


class Watch(Callback):
    """Measures the seconds from the start to the end of training, including checkpoints but not validation."""

    def on_train_start(self, *_: Any) -> None:
        self.seconds = -time.perf_counter()

    def on_validation_start(self, *_: Any) -> None:
        self.seconds += time.perf_counter()

    def on_validation_end(self, *_: Any) -> None:
        self.seconds -= time.perf_counter()

    def on_train_end(self, *_: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds += time.perf_counter()


@contextmanager
def carelessness() -> Iterator[None]:
    """A context in which a Procedure does nothing per step for exact resuming, and does not check its losses."""
    with mock.patch.multiple(Procedure, _key_random_layers=_nothing, check_losses=_nothing):
        yield


def _nothing(*_: Any) -> None:
    """Faster than a mock."""


def composed(folder: str | Path, *overrides: str) -> Any:
    """The config of a run in `folder`."""
    register_resolvers()
    settings = [*overrides, f"hydra.run.dir={folder}", f"hydra.runtime.output_dir={folder}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        HydraConfig.instance().set_config(compose("train", overrides=settings, return_hydra_config=True))
        return compose("train", overrides=list(overrides))


def train_with_our_trainer(
    *overrides: str, careful: bool = True, extra_callbacks: Sequence[Callback] = ()
) -> tuple[Any, float]:
    """Trains what train.py would compose; returns the module and the seconds of training."""
    if not careful:
        overrides = (*overrides, "~callback.last_checkpoint")
    with tempfile.TemporaryDirectory() as folder:
        cfg = composed(folder, *overrides)
        datamodule, watch = instantiate(cfg.datamodule), Watch()
        datamodule.prepare_data()
        datamodule.setup("fit")
        module = build_module(cfg, build_network(cfg, None))
        config: Any = OmegaConf.to_container(cfg, resolve=True)
        module.save_hyperparameters(config | data_facts(cfg, datamodule), logger=False)
        trainer = instantiate(
            cfg.trainer,
            logger=[instantiate(logger) for logger in cfg.logger.values()],
            callbacks=[*(instantiate(callback) for callback in cfg.callback.values()), *extra_callbacks, watch],
            plugins=[AtomicCheckpointIO()] if careful else [],
        )
        with nullcontext() if careful else carelessness():
            trainer.fit(module, datamodule)
    return module, watch.seconds


def our_net(data_dir: str, steps: int, *, careful: bool = True) -> float:
    """(c), (f)"""
    module, seconds = train_with_our_trainer(
        "experiment=cifar10_net",
        "callback=[plain]",
        f"datamodule.data_dir={data_dir}",
        f"trainer.max_steps={steps}",
        "trainer.limit_val_batches=1",
        careful=careful,
    )
    return module.global_step / seconds


def airbench_overrides(data_dir: str, precision: str) -> list[str]:
    return [
        "experiment=cifar10_airbench",
        f"datamodule.data_dir={data_dir}",
        f"trainer.precision={precision}",
        "channels_last=true",
    ]


def our_airbench(data_dir: str, steps: int, precision: str, *, careful: bool = True) -> tuple[nn.Module, float]:
    """(e), (g)"""
    module, seconds = train_with_our_trainer(
        *airbench_overrides(data_dir, precision),
        "trainer.max_epochs=1",
        f"trainer.limit_train_batches={steps}",
        "trainer.limit_val_batches=0",
        "callback.best_checkpoint.monitor=null",  # there is no validation
        careful=careful,
    )
    return module.network, steps * BATCH / seconds


def rounds(count: int, rivals: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Each rival's result in each round; the rivals take turns."""
    figures: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(count):
        for name, rival in rivals.items():
            figures[name].append(rival())
            print(f"round {number + 1} of {count}: ({name}) {figures[name][-1]:,.1f}", flush=True)
    return figures


def ratio(figures: dict[str, list[float]], one: str, other: str) -> float:
    """The median of the rounds' ratios, since temporary load affects both in a round."""
    return statistics.median(x / y for x, y in zip(figures[one], figures[other], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", default="data", help="holds cifar-10-batches-bin/")
    parser.add_argument("--rivals", default="abcfdegp", help="which of them; cf: only the cost of exact resuming")
    parser.add_argument("--steps", type=int, default=2000, help="steps at batch size 4 per round; an epoch has 11250")
    parser.add_argument("--airbench-steps", type=int, default=4, help="steps at batch size 1024 per round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="bf16-mixed", help="of (d), (e), (g): bf16-mixed | 32-true")
    parser.add_argument("--out", type=Path, default=Path("benchmark_cifar10.json"))
    args = parser.parse_args()
    keep_freed_memory()  # as train.py does; here for all rivals
    images, labels = read_cifar10(Path(args.data_dir) / "cifar-10-batches-bin").train
    result: dict[str, Any] = {"threads": torch.get_num_threads(), "load_before": os.getloadavg()}
    small: dict[str, Callable[[], float]] = {
        "a": lambda: plain_pil(images, labels, args.steps),
        "b": lambda: plain_tensor(images, labels, args.steps),
        "c": lambda: our_net(args.data_dir, args.steps),
        "f": lambda: our_net(args.data_dir, args.steps, careful=False),
    }
    figures = rounds(args.rounds, {name: rival for name, rival in small.items() if name in args.rivals})
    if not set("degp").isdisjoint(args.rivals):
        network, _ = our_airbench(args.data_dir, 1, args.precision)
        steps, precision = args.airbench_steps, args.precision
        large: dict[str, Callable[[], float]] = {
            "d": lambda: bare_airbench(images, labels, steps, network=network, precision=precision),
            "e": lambda: our_airbench(args.data_dir, steps, precision)[1],
            "g": lambda: our_airbench(args.data_dir, steps, precision, careful=False)[1],
            "p": lambda: convolution_peak(precision),
        }
        figures |= rounds(args.rounds, {name: rival for name, rival in large.items() if name in args.rivals})
        if {"e", "p"} <= figures.keys():
            share = ratio(figures, "e", "p") * flop_per_image(network)
            result |= {"precision": precision, "e_share_of_peak": share}
    medians = {name: statistics.median(values) for name, values in figures.items()}
    pairs = [(x, y) for x, y in ("ca", "cb", "cf", "ed", "eg") if x in figures and y in figures]
    ratios = {f"{x}/{y}": ratio(figures, x, y) for x, y in pairs}
    result |= {"medians": medians, "ratios": ratios, "rounds": figures, "load_after": os.getloadavg()}
    result |= {"torch": torch.__version__, "machine": platform.processor() or platform.machine()}
    args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
