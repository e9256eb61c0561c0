"""How often a run's 95 % intervals cover the true accuracy: `python benchmarks/coverage.py --data-dir DIR`.

Photos of three classes are drawn from CIFAR-10's training images into class folders, by seed and size; 1,000 others are
held back. `train.py` trains on each folder, with a quarter of it as test split, and `evaluate.py` cross-validates the
run; its network is then evaluated on the photos held back, whose accuracy serves as the true one. A correct interval
covers it in 19 of 20 cases on average, and in at least 18 of 20 with a probability of 92 %.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from datamodules.cifar10_files import OFFICIAL_MD5S, read_cifar10  # noqa: E402
from engine.statistics import wilson_interval  # noqa: E402

CHOSEN = ("bird", "cat", "dog")
HELD_BACK = 1000
SIZES = (100, 200, 400, 800)


def write(photos: np.ndarray, names: list[str], folder: Path) -> None:
    for index, (photo, name) in enumerate(zip(photos, names, strict=True)):
        file = folder / name / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(file)


def run(cwd: Path, script: str, *words: str) -> None:
    subprocess.run([sys.executable, str(ROOT / script), *words], cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def intervals(photos: Path, held_back: Path, seed: int, cwd: Path) -> dict[str, float]:
    """The two intervals of one run, and its accuracy on the photos held back."""
    directory = cwd / "run"
    run(
        cwd,
        "train.py",
        *("experiment=transfer_feature_extractor", "network=efficientnet_lite0", "datamodule=image_folder"),
        *(
            f"datamodule.data_dir={photos}",
            "datamodule.test_fraction=0.25",
            f"seed={seed}",
            f"hydra.run.dir={directory}",
        ),
    )
    run(cwd, "evaluate.py", f"run={directory}", f"datamodule.data_dir={held_back}")
    run(cwd, "evaluate.py", f"run={directory}", "split=cross_validation")
    metrics, folds = read(directory / "metrics.json"), read(directory / "evaluation_cross_validation.json")
    size = metrics["counts"]["test"]
    low, high = wilson_interval(round(metrics["test/acc"] * size), size, 0.95)
    (elsewhere,) = (file for file in directory.glob("evaluation_*.json") if "cross_validation" not in file.name)
    return {
        **{"test_low": low, "test_high": high, "truth": read(elsewhere)["val/acc"]},
        **{f"folds_{end}": folds[f"val/nested_acc_{end}"] for end in ("low", "high")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="holds cifar-10-batches-bin/")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each size")
    arguments = parser.parse_args()
    cifar10 = read_cifar10(arguments.data_dir / "cifar-10-batches-bin", md5s=OFFICIAL_MD5S)
    images, labels = (part.numpy() for part in cifar10.train)
    names = np.array(cifar10.classes)[labels]
    photos, names = images[np.isin(names, CHOSEN)].transpose(0, 2, 3, 1), names[np.isin(names, CHOSEN)]
    covered = {"test": 0, "folds": 0}
    for size in SIZES:
        for seed in range(arguments.seeds):
            drawn = np.random.default_rng((size, seed)).permutation(len(photos))[: size + HELD_BACK]
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                write(photos[drawn[:size]], list(names[drawn[:size]]), folder / "photos")
                write(photos[drawn[size:]], list(names[drawn[size:]]), folder / "held_back")
                found = intervals(folder / "photos", folder / "held_back", seed, folder)
            for kind in covered:
                covered[kind] += found[f"{kind}_low"] <= found["truth"] <= found[f"{kind}_high"]
            print(
                f"{size:5} photos, seed {seed}:",
                ", ".join(f"{key} {value:.3f}" for key, value in found.items()),
                flush=True,
            )
    for kind, count in covered.items():
        print(f"{kind}: {count} of {len(SIZES) * arguments.seeds} intervals cover the accuracy on the photos held back")


if __name__ == "__main__":
    main()
