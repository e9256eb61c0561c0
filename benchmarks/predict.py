"""predict.py compared with its bare network: `python benchmarks/predict.py --run DIR --input FOLDER`.

Photos per second for 1,000 photos (those of the folder, repeated), from the files to the table, and from the files to
the outputs of the bare network: the same files, decoded by the same workers, transformed and normalized in the same
way, through the same network in the same memory format and precision. Both take turns in one process; medians are
compared. Prints the results, and writes them to a JSON file.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))


def measure(work: Callable[[], int]) -> dict[str, float]:
    """Photos per second, and CPU milliseconds per photo of all processes, which other load affects less."""
    before, started = sum(os.times()[:4]), time.perf_counter()
    photos = work()
    rate, cpu = photos / (time.perf_counter() - started), (sum(os.times()[:4]) - before) / photos
    return {"photos_per_second": rate, "cpu_ms_per_photo": 1000 * cpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--input", required=True)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--num-workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--output", type=Path, default=Path("predict.json"))
    arguments = parser.parse_args()

    import torch

    from engine.data.normalization import normalize
    from engine.photos.unlabelled_photos import UnlabelledPhotos, find_photos
    from engine.results.prediction import Loader, Predictor, write_predictions
    from engine.results.preprocessing import photo_transform
    from engine.run.trained import load_trained

    trained = load_trained(arguments.run, "best")
    node = trained.config.datamodule
    found = find_photos(arguments.input)
    files = (found.photos * -(-arguments.photos // len(found.photos)))[: arguments.photos]
    dataset = UnlabelledPhotos(files, photo_transform(trained), max_pixels=node.max_pixels)
    predictor = Predictor(trained, "run")
    network: Any = predictor.module.module.network

    def loader() -> Loader:
        return dataset.loader(
            batch_size=node.eval_batch_size, num_workers=arguments.num_workers, worker_timeout=node.worker_timeout
        )

    @torch.inference_mode()
    def bare() -> int:
        count = 0
        for _, photos, _ in loader():
            images = normalize(photos.to(predictor.device), predictor.mean, predictor.std)
            if predictor.backbone is not None:
                outputs = network.head(predictor.backbone(images).to(predictor.device))
            else:
                images = (
                    images.contiguous(memory_format=torch.channels_last) if trained.config.channels_last else images
                )
                with torch.autocast(images.device.type, torch.bfloat16, "bf16" in trained.config.trainer.precision):
                    outputs = network(images)
            count += len(outputs.cpu())
        return count

    with tempfile.TemporaryDirectory() as folder:

        def whole() -> int:
            return write_predictions(predictor, files, loader(), Path(folder, "predictions.csv"), None).photos

        rounds = []
        for _ in range(arguments.rounds):
            rounds.append({"bare": measure(bare), "predict": measure(whole)})
            print(json.dumps(rounds[-1]), flush=True)
    medians = {
        name: {figure: statistics.median(round[name][figure] for round in rounds) for figure in rounds[0][name]}
        for name in rounds[0]
    }
    ratio = medians["predict"]["photos_per_second"] / medians["bare"]["photos_per_second"]
    result = {
        "photos": len(files),
        "medians": medians,
        "ratio": ratio,
        "rounds": rounds,
        "run": {
            "name": trained.config.name,
            "cache": trained.has_features,
            "precision": trained.config.trainer.precision,
        },
        "device": str(predictor.device),
        "workers": arguments.num_workers,
        "machine": f"{platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "torch": torch.__version__,
    }
    arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"predict / bare: {ratio:.3f}; {arguments.output}")


if __name__ == "__main__":
    main()
