"""CIFAR-10 on a GPU: the experiments, and bare loops of the same recipes (benchmarks/gpu.py)."""

import statistics
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pytorch_lightning import Callback, seed_everything
from torch import Tensor, nn

from benchmarks.cifar10 import train_with_our_trainer
from benchmarks.plain_cifar10 import BATCH, MEAN, STD, airbench_optimizer
from datamodules.cifar10_files import read_cifar10
from engine.data.normalization import normalize
from engine.data.stratified_split import stratified_split
from functional.augment import alternating_flip, translate
from functional.schedules import triangular
from networks.airbench import Airbench
from networks.lenet import LeNet

QUICK = ("trainer.limit_train_batches=2", "trainer.limit_val_batches=1", "datamodule.eval_batch_size=2")


class Settings(NamedTuple):
    """What the parts run with. `quick`: only as much as shows that they work."""

    data_dir: Path
    scratch: Path
    device: str
    seeds: int
    quick: bool

    @property
    def trainer(self) -> str:
        return "trainer=gpu" if self.device == "cuda" else "trainer=cpu"

    @property
    def short(self) -> tuple[str, ...]:
        """Overrides for a training that only has to run."""
        return QUICK if self.quick else ()

    @property
    def precision(self) -> str:
        return f"trainer.precision={'bf16-mixed' if self.device == 'cuda' else '32-true'}"

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda")


class Images(NamedTuple):
    """Images on the device, uint8 (N, 3, 32, 32), and labels (N,)."""

    train: Tensor
    train_labels: Tensor
    val: Tensor
    val_labels: Tensor


def read_images(settings: Settings, val_share: float = 0.1) -> Images:
    images, labels = read_cifar10(settings.data_dir / "cifar-10-batches-bin", md5s=None).train
    train, val = stratified_split(labels, int(len(images) * val_share), seed=0)
    return Images(*(part.to(settings.device) for part in (images[train], labels[train], images[val], labels[val])))


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def summary(ours: list[float], bare: list[float]) -> dict[str, Any]:
    """Medians, and the median ratio of the pairs."""
    ratio = statistics.median(x / y for x, y in zip(ours, bare, strict=True))
    return {"ours": statistics.median(ours), "bare": statistics.median(bare), "ours/bare": ratio, "each": [ours, bare]}


def accuracies(values: list[float]) -> dict[str, Any]:
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.mean(values), "standard_deviation": spread, "n": len(values)}


# airbench ------------------------------------------------------------------------------------------------------------


def airbench(settings: Settings) -> dict[str, Any]:
    images = read_images(settings)
    epochs, seeds = (1, 1) if settings.quick else (10, settings.seeds)
    ours, bare = [], []
    for seed in range(-1, seeds):  # the first pair warms up
        ours.append(our_airbench(settings, max(seed, 0), epochs))
        bare.append(bare_airbench(images, settings, max(seed, 0), epochs))
        print(f"seed {seed}: ours {ours[-1]}, bare {bare[-1]}", flush=True)
    result: dict[str, Any] = {"seconds": summary([s for s, _ in ours[1:]], [s for s, _ in bare[1:]])}
    result["first_seconds"] = {"ours": ours[0][0], "bare": bare[0][0]}
    for name, trainings in (("ours", ours), ("bare", bare)):
        result[f"accuracy_{name}"] = accuracies([accuracy for _, accuracy in trainings[1:]])
    pictures = "callback=[default,lookahead,whitening]"
    result["seconds_with_pictures"] = our_airbench(settings, 0, epochs, pictures)[0]
    if settings.device == "cuda":
        result["waits"] = waits(settings)
    return result


def our_airbench(settings: Settings, seed: int, epochs: int, *more: str, **options: Any) -> tuple[float, float]:
    """Seconds from the first step to the end, including checkpoints but not validation; and validation accuracy.

    With progress bar, TensorBoard, checkpoints and curves, but without the images that the bare loop does not draw.
    """
    data = (f"datamodule.data_dir={settings.data_dir}", f"seed={seed}", f"trainer.max_epochs={epochs}")
    validation = f"trainer.check_val_every_n_epoch={max(1, epochs // 2)}"
    seed_everything(seed, verbose=False)
    module, seconds = train_with_our_trainer(
        "experiment=cifar10_airbench",
        settings.trainer,
        settings.precision,
        "channels_last=true",
        "callback=[plain,lookahead,whitening]",
        *data,
        validation,
        *settings.short,
        *more,
        **options,
    )
    return seconds, float(module.trainer.callback_metrics["val/acc"])


def bare_airbench(images: Images, settings: Settings, seed: int, epochs: int) -> tuple[float, float]:
    """The recipe of `experiment=cifar10_airbench` as a loop that does nothing else."""
    torch.manual_seed(seed)
    device = settings.device
    network = Airbench(
        num_classes=10, widths=[64, 256, 256], batchnorm_momentum=0.6, whitening_eps=5e-4, logit_divisor=9, views=6
    ).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.whiten(normalize(images.train[:5000], MEAN, STD))
    optimizer = airbench_optimizer(network)
    steps = len(images.train) // BATCH * epochs
    schedule = triangular(optimizer, total_steps=steps, start=0.2, peak_at=0.23, end=0.07)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.2)
    weights = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
    average = [tensor.clone() for tensor in weights]
    first_flips = torch.rand(len(images.train), device=device) < 0.5
    wait(device)
    started, step = time.perf_counter(), 0
    for epoch in range(epochs):
        network.train()
        network.whitening.bias.requires_grad_(epoch < 3)
        shifts = torch.randint(-2, 3, (len(images.train), 2), device=device)
        moved = translate(images.train, shifts, flipped=alternating_flip(first_flips, epoch))
        inputs = normalize(moved, MEAN, STD).contiguous(memory_format=torch.channels_last)
        batches = torch.randperm(len(inputs), device=device).split(BATCH)[
            : 2 if settings.quick else len(inputs) // BATCH
        ]
        for chosen in batches:
            with settings.autocast():
                loss = criterion(network(inputs[chosen]), images.train_labels[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            if step % 5 == 0 or step == steps:
                with torch.no_grad():
                    if step % 5 == 0:
                        torch._foreach_lerp_(average, weights, 1 - 0.95**5 * (step / steps) ** 3)
                    torch._foreach_copy_(weights, average)
    wait(device)
    seconds = time.perf_counter() - started
    return seconds, _accuracy(network.eval(), images, settings)


@torch.inference_mode()
def _accuracy(network: nn.Module, images: Images, settings: Settings) -> float:
    right = 0
    for some, labels in zip(images.val.split(500), images.val_labels.split(500), strict=True):
        inputs = normalize(some, MEAN, STD).contiguous(memory_format=torch.channels_last)
        with settings.autocast():
            right += int((network(inputs).argmax(1) == labels).sum())
    return right / len(images.val)


class CountWaits(Callback):
    """Counts what made the program wait for the GPU in training steps `first` to `last`, by line of code."""

    follows_chunks = True

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self.lines: Counter[str] = Counter()
        self._caught: Any = None

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == self.first:
            self._caught = catch_waits()
            self.found = self._caught.__enter__()
        elif batch_idx == self.last:
            self._caught.__exit__(None, None, None)
            for warning in self.found:
                place = "/".join(Path(warning.filename).parts[-2:])
                self.lines[f"{place}:{warning.lineno}"] += 1


@contextmanager
def catch_waits() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")


def waits(settings: Settings, first: int = 3, last: int = 33) -> dict[str, Any]:
    counter = CountWaits(first, last)
    our_airbench(settings, 0, 1, "datamodule.batch_size=128", extra_callbacks=[counter])
    return {"per_step": sum(counter.lines.values()) / (last - first), "lines": dict(counter.lines.most_common(12))}


def compiled(settings: Settings) -> dict[str, Any]:
    epochs, backend = (1, "compile={backend: aot_eager}") if settings.quick else (10, "compile=true")
    started = time.perf_counter()
    first, _ = our_airbench(settings, 0, epochs, backend)
    seconds, accuracy = our_airbench(settings, 1, epochs, backend)
    whole = time.perf_counter() - started
    return {"first_seconds": first, "seconds": seconds, "accuracy": accuracy, "both_trainings_seconds": whole}


# The tutorials' small network ----------------------------------------------------------------------------------------


def net(settings: Settings) -> dict[str, Any]:
    images = read_images(settings)
    steps, rounds = (50, 1) if settings.quick else (2000, 3)
    ours, bare = [], []
    for _ in range(rounds + 1):  # the first round warms up
        ours.append(our_net(settings, steps))
        bare.append(bare_net(images, settings.device, steps))
    return {"steps_per_second": summary(ours[1:], bare[1:])}


def our_net(settings: Settings, steps: int) -> float:
    module, seconds = train_with_our_trainer(
        "experiment=cifar10_net",
        settings.trainer,
        "callback=[plain]",
        f"datamodule.data_dir={settings.data_dir}",
        f"trainer.max_steps={steps}",
        "trainer.limit_val_batches=1",
    )
    return module.global_step / seconds


def bare_net(images: Images, device: str, steps: int) -> float:
    network = LeNet(in_channels=3, num_classes=10, activation="ReLU", log_softmax=False).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9, fused=True)
    criterion = nn.CrossEntropyLoss()
    ready = normalize(images.train, (0.5,) * 3, (0.5,) * 3)
    order = torch.randperm(len(ready), device=device).split(4)
    wait(device)
    started = time.perf_counter()
    for step in range(steps):
        chosen = order[step % len(order)]
        optimizer.zero_grad()
        criterion(network(ready[chosen]), images.train_labels[chosen]).backward()
        optimizer.step()
    wait(device)
    return steps / (time.perf_counter() - started)
