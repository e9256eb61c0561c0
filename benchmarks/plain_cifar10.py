"""The rivals of benchmarks/cifar10.py: plain PyTorch loops, and the fastest convolution."""

import statistics
import time
from typing import Any

import torch
import torchvision.transforms as T
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from engine.data.normalization import normalize
from engine.speed.threads import one_thread_an_operation
from engine.training.parameter_groups import parameter_groups
from functional.augment import translate
from networks.lenet import LeNet

HALF = (0.5, 0.5, 0.5)
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of the images for airbench
BATCH = 1024  # airbench's batch size


class PILImages(Dataset[tuple[Tensor, int]]):
    """Images as torchvision.datasets.CIFAR10 returns them."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images.permute(0, 2, 3, 1).contiguous().numpy(), labels.tolist()
        self.transform = T.Compose([T.ToTensor(), T.Normalize(HALF, HALF)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def train_plainly(batches: Any, steps: int) -> float:
    """The tutorials' loop over `steps` batches; returns steps per second."""
    network = LeNet(in_channels=3, num_classes=10, activation="ReLU", log_softmax=False)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    running_loss = 0.0
    iterator = iter(batches)
    inputs, labels = next(iterator)  # by then, workers have started
    started = time.perf_counter()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = criterion(network(inputs), labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
        inputs, labels = next(iterator)
    return steps / (time.perf_counter() - started)


def plain_pil(images: Tensor, labels: Tensor, steps: int) -> float:
    """(a)"""
    return train_plainly(DataLoader(PILImages(images, labels), batch_size=4, shuffle=True, num_workers=2), steps)


def plain_tensor(images: Tensor, labels: Tensor, steps: int) -> float:
    """(b)"""
    ready = normalize(images, HALF, HALF)
    order = torch.randperm(len(images)).split(4)
    with one_thread_an_operation():
        return train_plainly(((ready[chosen], labels[chosen]) for chosen in order), steps)


def airbench_optimizer(network: nn.Module) -> torch.optim.SGD:
    """The optimizer in conf/experiment/cifar10_airbench.yaml."""
    groups = [{"pattern": r"norm\d\.bias$", "lr": 96.0, "weight_decay": 2.0788e-5}]
    return torch.optim.SGD(
        parameter_groups(network, groups), lr=1.5, momentum=0.85, weight_decay=1.3304e-3, nesterov=True, fused=True
    )


def bare_airbench(images: Tensor, labels: Tensor, steps: int, *, network: nn.Module, precision: str) -> float:
    """(d), on a network in the state after (e)"""
    network.train()
    optimizer = airbench_optimizer(network)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 0.01)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.2)
    order = torch.randperm(len(images)).split(BATCH)
    started = time.perf_counter()
    for chosen in order[:steps]:
        shifts, flipped = torch.randint(-2, 3, (BATCH, 2)), torch.rand(BATCH) < 0.5
        inputs = translate(images[chosen], shifts, flipped=flipped)
        inputs = normalize(inputs, MEAN, STD)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = criterion(network(inputs.contiguous(memory_format=torch.channels_last)), labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        scheduler.step()
    return steps * BATCH / (time.perf_counter() - started)


def convolution_peak(precision: str) -> float:
    """(p): the FLOP/s of several 3×3 convolutions, forward and backward; the best median."""
    medians = []
    for channels, side in ((64, 31), (256, 15), (256, 7), (512, 14)):
        convolution = nn.Conv2d(channels, channels, 3, padding=1).to(memory_format=torch.channels_last)
        inputs = torch.randn(128, channels, side, side).contiguous(memory_format=torch.channels_last).requires_grad_()
        rates = []
        for _ in range(8):
            started = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
                output = convolution(inputs)
            output.backward(output)
            rates.append(3 * 2 * 9 * channels**2 * side**2 * 128 / (time.perf_counter() - started))
        medians.append(statistics.median(rates))
    return max(medians)


def flop_per_image(network: nn.Module) -> float:
    """FLOP of a forward and a backward pass for one image."""
    network.train()
    with FlopCounterMode(display=False) as counter:
        network(torch.randn(2, 3, 32, 32)).sum().backward()
    return counter.get_total_flops() / 2
