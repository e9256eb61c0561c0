"""Which packaged network's features best separate ants from bees: `python benchmarks/backbones.py --data-dir DIR`.

Each candidate is trained and cross-validated by `train.py` and `evaluate.py split=cross_validation`: 10 folds, 5 times,
with the same folds for all, evaluated after the last epoch. In each fold, the candidate with the lowest loss on one
more fold, used for neither training nor evaluation, is chosen and evaluated on the held-out fold: the last row shows
what choosing a network this way achieves, the others what each network achieves by itself.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from engine.statistics import fold_interval  # noqa: E402

CANDIDATES = {
    "efficientnet_lite0": ("network=efficientnet_lite0",),
    "efficientnet_lite1": ("network=efficientnet_lite1",),
    "efficientnet_lite1, 240 pixels": ("network=efficientnet_lite1", "datamodule.image_size=240"),
    "efficientnet_lite2": ("network=efficientnet_lite2",),
    "efficientnet_lite2, 260 pixels": ("network=efficientnet_lite2", "datamodule.image_size=260"),
}
FOLDS = 10
BY_LOSS = ("monitor.metric=val/loss", "monitor.mode=min")


def cross_validation(overrides: tuple[str, ...], data_dir: Path, seed: int, folder: Path) -> dict[str, Any]:
    """The cross-validation that evaluate.py wrote for a run with these overrides."""
    run = folder / "run"
    settings = (f"datamodule.data_dir={data_dir}", f"seed={seed}", f"hydra.run.dir={run}")
    for command in (
        ["train.py", "experiment=transfer_feature_extractor", *overrides, *BY_LOSS, *settings],
        ["evaluate.py", f"run={run}", "split=cross_validation"],
    ):
        script, *words = command
        subprocess.run([sys.executable, str(ROOT / script), *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    content: dict[str, Any] = json.loads((run / "evaluation_cross_validation.json").read_text(encoding="utf-8"))
    return content


def row(title: str, accuracies: torch.Tensor, photos: int) -> str:
    low, high = fold_interval(accuracies.tolist(), FOLDS, float(accuracies.mean()) * photos, photos, 0.95)
    return f"{title:34} {accuracies.mean():7.1%}   {low:.1%} to {high:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="holds hymenoptera_data/")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found = {}
    for name, overrides in CANDIDATES.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = cross_validation(overrides, arguments.data_dir.absolute(), arguments.seed, Path(folder))
    print(f"{'':34} accuracy   95 % interval")
    photos = sum(next(iter(found.values()))["data"]["counts"].values())  # the same for all
    for name, content in found.items():
        print(row(name, torch.tensor([head["last_acc"] for head in content["heads"]], dtype=torch.float64), photos))
    heads = list(zip(*(content["heads"] for content in found.values()), strict=True))
    chosen = [max(range(len(found)), key=lambda candidate: of_head[candidate]["last_score"]) for of_head in heads]
    accuracies = [of_head[candidate]["last_acc"] for of_head, candidate in zip(heads, chosen, strict=True)]
    print(row("chosen inside the folds", torch.tensor(accuracies, dtype=torch.float64), photos))
    print("chosen:", ", ".join(f"{list(found)[n]} {times} times" for n, times in Counter(chosen).most_common()))


if __name__ == "__main__":
    main()
