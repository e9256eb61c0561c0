"""Transfer learning compared with the tutorial's plain loop: `python benchmarks/transfer.py --data-dir DIR`.

Whole processes, from start to final accuracy, with the same network (EfficientNet-Lite0), batch size 4 and epochs:
  frozen    the plain loop with a frozen backbone (PIL, 4 workers) | ours, cold cache | ours, warm cache
  finetune  the plain loop on all parameters                       | ours in float32  | ours in bfloat16, channels-last
  scaling   ours, cold cache, on 1, 2 and 4 times the photos
  sweep     ours, 100 runs (25 seeds × 4 learning rates) from a warm cache
Each round runs all rows of a comparison in turn, so that other load on the machine affects all of them; medians are
compared. Prints a table, and writes it to a JSON file.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
BEST = "best/val/acc"
TRAIN = [sys.executable, str(ROOT / "train.py"), "network=efficientnet_lite0"]


def run(command: list[str], cwd: Path) -> dict[str, float]:
    """Wall and CPU seconds and peak memory (MiB, largest process) of one process, and the accuracy it reached.

    The accuracy is what a plain loop prints, or that in the new metrics.json; for a sweep, the mean.
    """
    before = set(cwd.rglob("metrics.json"))
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        sys.exit(f"{' '.join(command)} failed:\n{output}")
    found = [json.loads(path.read_text(encoding="utf-8"))[BEST] for path in set(cwd.rglob("metrics.json")) - before]
    accuracy = statistics.mean(found) if found else float(output.rpartition(BEST)[2])
    figures = {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss / 1024}
    print(f"{seconds:8.2f} s  {BEST} {accuracy:.4f}  {' '.join(command[1:])}", file=sys.stderr)
    return {**figures, BEST: accuracy}


def plain(kind: str, data_dir: Path, epochs: int, seed: int) -> None:
    """The tutorial's loop (pytorch.org, transfer_learning_tutorial): best epoch by validation accuracy restored."""
    import torch
    from torch import nn
    from torch.optim.lr_scheduler import StepLR
    from torchvision import datasets, transforms

    sys.path.insert(0, str(ROOT))
    from networks.efficientnet_lite import EfficientNetLite

    torch.manual_seed(seed)
    normalize = transforms.Normalize([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
    looks = {
        "train": [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()],
        "val": [transforms.Resize(256), transforms.CenterCrop(224)],
    }
    sets = {
        split: datasets.ImageFolder(
            str(data_dir / "hymenoptera_data" / split), transforms.Compose([*look, transforms.ToTensor(), normalize])
        )
        for split, look in looks.items()
    }
    loaders = {s: torch.utils.data.DataLoader(sets[s], batch_size=4, shuffle=True, num_workers=4) for s in sets}
    network = EfficientNetLite(name="efficientnet_lite0", num_classes=2, pretrained=True)
    body, head = network.backbone, network.head
    if kind == "frozen":
        body.requires_grad_(False)
    model = nn.Sequential(body, head)
    trained = head if kind == "frozen" else model
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.001, momentum=0.9)
    scheduler, criterion = StepLR(optimizer, 7, 0.1), nn.CrossEntropyLoss()
    best, best_state = 0.0, None
    for _ in range(epochs):
        for split in ("train", "val"):
            model.train(split == "train")
            right = 0
            for images, labels in loaders[split]:
                optimizer.zero_grad()
                with torch.set_grad_enabled(split == "train"):
                    logits = model(images)
                    loss = criterion(logits, labels)
                    if split == "train":
                        loss.backward()
                        optimizer.step()
                right += int(torch.sum(logits.argmax(1) == labels))
        scheduler.step()
        if right / len(sets["val"]) > best:
            best = right / len(sets["val"])
            best_state = {name: value.clone() for name, value in model.state_dict().items()}
    if best_state is not None:
        model.load_state_dict(best_state)
    print(BEST, best)


def frozen(data_dir: Path, epochs: int, seed: int, cwd: Path) -> dict[str, dict[str, float]]:
    ours = [*TRAIN, "experiment=transfer_feature_extractor", *_settings(data_dir, epochs, seed)]
    shutil.rmtree(cwd / "cache", ignore_errors=True)
    return {
        "plain loop": run(_plain("frozen", data_dir, epochs, seed), cwd),
        "ours, cold cache": run(ours, cwd),
        "ours, warm cache": run(ours, cwd),
    }


def finetune(data_dir: Path, epochs: int, seed: int, cwd: Path) -> dict[str, dict[str, float]]:
    ours = [*TRAIN, "experiment=transfer_finetune", *_settings(data_dir, epochs, seed)]
    return {
        "plain loop": run(_plain("finetune", data_dir, epochs, seed), cwd),
        "ours, float32": run(ours, cwd),
        "ours, bfloat16": run([*ours, "trainer.precision=bf16-mixed"], cwd),
    }


def scaling(data_dir: Path, epochs: int, seed: int, cwd: Path) -> dict[str, dict[str, float]]:
    ours = [*TRAIN, "experiment=transfer_feature_extractor"]
    results = {}
    for times in (1, 2, 4):
        copies = cwd / f"photos_{times}"
        for split in ("train", "val"):
            for photo in (data_dir / "hymenoptera_data" / split).glob("*/*.jp*g"):
                folder = copies / "hymenoptera_data" / split / photo.parent.name
                folder.mkdir(parents=True, exist_ok=True)
                for copy in range(times):
                    target = folder / f"{copy}_{photo.name}"
                    if not target.exists():
                        shutil.copyfile(photo, target)
        shutil.rmtree(cwd / "cache", ignore_errors=True)
        results[f"{times} × the photos"] = run([*ours, *_settings(copies, epochs, seed)], cwd)
    return results


def sweep(data_dir: Path, epochs: int, seed: int, cwd: Path) -> dict[str, dict[str, float]]:
    ours = [*TRAIN, "experiment=transfer_feature_extractor"]
    run([*ours, *_settings(data_dir, 1, seed)], cwd)
    settings = [f"datamodule.data_dir={data_dir}", f"trainer.max_epochs={epochs}"]
    swept = ["seed=range(0,25)", "optimizer.lr=0.0003,0.001,0.003,0.01", "-m"]  # argparse refuses -m elsewhere
    return {"100 runs": run([*ours, *settings, *swept], cwd)}


COMPARISONS = {"frozen": frozen, "finetune": finetune, "scaling": scaling, "sweep": sweep}


def _plain(kind: str, data_dir: Path, epochs: int, seed: int) -> list[str]:
    shared = ["--data-dir", str(data_dir), "--epochs", str(epochs), "--seed", str(seed)]
    return [sys.executable, __file__, "--plain", kind, *shared]


def _settings(data_dir: Path, epochs: int, seed: int) -> list[str]:
    return [f"datamodule.data_dir={data_dir}", f"trainer.max_epochs={epochs}", f"seed={seed}"]


def summarise(rounds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Medians over the rounds and each one's speedup over the first row, with the extremes; accuracies: mean, ± std."""
    table: dict[str, dict[str, float]] = {}
    for name in rounds[0]:
        rows = [measured[name] for measured in rounds]
        table[name] = {key: statistics.median(row[key] for row in rows) for key in ("seconds", "cpu", "memory")}
        ratios = [next(iter(measured.values()))["seconds"] / measured[name]["seconds"] for measured in rounds]
        table[name]["times faster"] = statistics.median(ratios)
        for key, values in {"seconds": [row["seconds"] for row in rows], "times faster": ratios}.items():
            table[name] |= {f"{key}, least": min(values), f"{key}, most": max(values)}
        accuracies = [row[BEST] for row in rows]
        table[name][BEST] = statistics.mean(accuracies)
        if len(accuracies) > 1:
            table[name]["±"] = statistics.stdev(accuracies)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="holds hymenoptera_data/")
    parser.add_argument("--comparisons", nargs="+", choices=COMPARISONS, default=["frozen", "finetune"])
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=3, help="round r runs with seed r")
    parser.add_argument("--output", type=Path, default=Path("transfer_benchmark.json"))
    parser.add_argument("--plain", choices=("frozen", "finetune"), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    data_dir = options.data_dir.absolute()
    if options.plain:
        plain(options.plain, data_dir, options.epochs, options.seed)
        return
    report: dict[str, Any] = {"machine": f"{os.cpu_count()} cores, {platform.machine()}", "epochs": options.epochs}
    for name in options.comparisons:
        with tempfile.TemporaryDirectory() as cwd:
            rounds = [COMPARISONS[name](data_dir, options.epochs, seed, Path(cwd)) for seed in range(options.rounds)]
        report[name] = {"summary": summarise(rounds), "rounds": rounds}
        for row, figures in report[name]["summary"].items():
            print(f"{name:9} {row:17}", *(f"{key} {value:8.4g}  " for key, value in figures.items()))
    options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
