"""Photos on a GPU: the frozen pass and fine-tuning (benchmarks/gpu.py)."""

import shutil
import time
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from torch import nn

from benchmarks.cifar10 import composed, train_with_our_trainer
from benchmarks.gpu_training import Settings, summary, wait
from engine.build import build_features, build_network
from engine.data.normalization import normalize
from engine.features.features import Views
from engine.features.frozen import FrozenBackbone
from engine.training.parameter_groups import parameter_groups

LITE0 = "network=efficientnet_lite0"


def many_photos(settings: Settings, count: int) -> Path:
    """A folder with `count` training photos: those of hymenoptera, repeated, each in a file of its own."""
    root = settings.scratch / "many"
    source = settings.data_dir / "hymenoptera_data"
    found = {kind: sorted((source / "train" / kind).glob("*.jpg")) for kind in ("ants", "bees")}
    for kind, files in found.items():
        for split, number in (("train", count // 2), ("val", 16)):
            (root / split / kind).mkdir(parents=True)
            for i in range(number):
                shutil.copy(files[i % len(files)], root / split / kind / f"{i:05d}.jpg")
    return root


def features(settings: Settings) -> dict[str, Any]:
    count = 64 if settings.quick else 16_384
    data = [
        "datamodule=image_folder",
        f"datamodule.data_dir={many_photos(settings, count)}",
        f"features.cache_dir={settings.scratch / 'features'}",
        f"datamodule.index_dir={settings.scratch / 'index'}",
    ]
    cfg = composed(settings.scratch, "experiment=transfer_feature_extractor", LITE0, settings.trainer, *data)
    photos = instantiate(cfg.datamodule)
    photos.prepare_data()
    started = time.perf_counter()
    photos.setup("fit")
    checked = time.perf_counter() - started
    network = build_network(cfg, None)
    cached = build_features(cfg, photos, network)
    alone = {p: passes(network, settings, p) for p in ("32", *(["bf16"] if settings.device == "cuda" else []))}
    started = time.perf_counter()
    cached.setup("fit")
    seconds = time.perf_counter() - started
    images = count * cached.views + 32
    result = {"images": images, "workers": photos.num_workers, "images_per_second": images / seconds}
    result["seconds"] = {"index_and_check": checked, "features": seconds}
    result["decoding_alone"] = decoding(photos, count // 2, cached.views, cached.view_seed)
    result["network_alone"] = alone
    return result


def decoding(photos: Any, count: int, views: int, seed: int) -> float:
    """Images per second that the workers decode and transform."""
    loader = torch.utils.data.DataLoader(
        torch.utils.data.Subset(Views(photos.train, views, seed), range(count)),
        batch_size=32,
        num_workers=photos.num_workers,
    )
    started = time.perf_counter()
    images = sum(len(batch.flatten(0, 1)) for batch in loader)
    return images / (time.perf_counter() - started)


def passes(network: Any, settings: Settings, precision: str) -> float:
    """Images per second of the frozen network alone, from uint8 images on the device."""
    backbone = FrozenBackbone(network, precision, "auto" if settings.device == "cuda" else "cpu")
    size, rounds = (8, 1) if settings.quick else (256, 40)
    images = torch.randint(0, 256, (size, 3, 224, 224), dtype=torch.uint8).to(settings.device)
    backbone(normalize(images, None, None))
    wait(settings.device)
    started = time.perf_counter()
    for _ in range(rounds):
        backbone(normalize(images, None, None))
    wait(settings.device)
    return size * rounds / (time.perf_counter() - started)


# Fine-tuning ---------------------------------------------------------------------------------------------------------


def finetune(settings: Settings) -> dict[str, Any]:
    epochs, batch_size, rounds = (1, 4, 1) if settings.quick else (8, 32, 2)
    data = (f"datamodule.data_dir={settings.data_dir}", f"datamodule.batch_size={batch_size}")
    overrides = ("experiment=transfer_finetune", LITE0, settings.trainer, settings.precision, "callback=[plain]", *data)
    length = (f"trainer.max_epochs={epochs}", *settings.short)
    ours, bare = [], []
    for _ in range(rounds + 1):  # the first round warms up
        module, seconds = train_with_our_trainer(*overrides, *length)
        ours.append(module.examples_seen / seconds)
        bare.append(bare_finetuning(settings, composed(settings.scratch, *overrides), epochs))
    accuracy = float(module.trainer.callback_metrics["val/acc"])
    return {"photos_per_second": summary(ours[1:], bare[1:]), "last_accuracy": accuracy, "epochs": epochs}


def bare_finetuning(settings: Settings, cfg: Any, epochs: int) -> float:
    """Photos per second of a loop over the same photos, decoded by as many workers, in the same precision."""
    datamodule = instantiate(cfg.datamodule)
    datamodule.prepare_data()
    datamodule.setup("fit")
    network: nn.Module = build_network(cfg, None).to(settings.device, memory_format=torch.channels_last)
    optimizer = instantiate(cfg.optimizer)(parameter_groups(network, cfg.lightning_module.param_groups))
    criterion = nn.CrossEntropyLoss()
    loader = datamodule.train_dataloader()
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    wait(settings.device)
    started, seen = time.perf_counter(), 0
    for epoch in range(epochs):
        loader.keyed_sampler.set_epoch(epoch)
        for number, (photos, labels) in enumerate(loader):
            if settings.quick and number == 2:
                break
            photos, labels = (part.to(settings.device, non_blocking=True) for part in (photos, labels))
            inputs = normalize(photos, datamodule.mean, datamodule.std)
            with settings.autocast():
                loss = criterion(network(inputs.contiguous(memory_format=torch.channels_last)), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            seen += len(labels)
    wait(settings.device)
    return seen / (time.perf_counter() - started)
