"""The experiments on a GPU, compared with plain PyTorch loops: `python benchmarks/gpu.py --data-dir DIR`.

  airbench   `experiment=cifar10_airbench` (bf16, channels-last) and a bare loop of the same recipe: seconds, accuracy
             of each seed, and how often one of our steps waits for the GPU
  compiled   `experiment=cifar10_airbench compile=true`: seconds of a training, and of the compilation
  net        `experiment=cifar10_net` and a bare loop: steps per second at batch size 4
  features   the frozen pass of EfficientNet-Lite0 over photos: images per second, of decoding alone and the GPU alone
  finetune   `experiment=transfer_finetune network=efficientnet_lite0` and a bare loop, batch size 32: photos per second
  resume     runs with `trainer.deterministic=true`, killed and resumed, compared bit by bit with uninterrupted ones
  tests      the tests that need a GPU

Rivals take turns; medians and the medians of the pairs' ratios are reported. Needs torch 2.11 and no download: without
`--data-dir`, images are generated, and accuracies mean nothing. `--device cpu --quick` rehearses it without a GPU.
Writes the results to a JSON file after each part; a part that fails does not stop the others, and the exit code is 1.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch

from benchmarks.gpu_photos import features, finetune
from benchmarks.gpu_processes import gpu_tests, resume
from benchmarks.gpu_training import Settings, airbench, compiled, net
from datamodules.stand_ins.write import write_cifar10, write_hymenoptera
from engine.speed.memory import keep_freed_memory

PARTS: dict[str, Callable[[Settings], dict[str, Any]]] = {
    "airbench": airbench,
    "compiled": compiled,
    "net": net,
    "features": features,
    "finetune": finetune,
    "resume": resume,
    "tests": gpu_tests,
}


def machine() -> dict[str, Any]:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    cores = len(os.sched_getaffinity(0))
    return {"gpu": gpu, "cores": cores, "processor": platform.machine(), "torch": torch.__version__}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="holds cifar-10-batches-bin/ and hymenoptera_data/")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="only as much of everything as shows that it runs")
    parser.add_argument("--out", type=Path, default=Path("benchmark_gpu.json"))
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("this machine has no GPU: give --device cpu --quick to rehearse")
    keep_freed_memory()  # as train.py does; here for all rivals
    result: dict[str, Any] = {"machine": machine(), "data": "real" if args.data_dir else "stand-in"}
    with tempfile.TemporaryDirectory() as folder:
        data_dir = args.data_dir
        if data_dir is None:
            data_dir = Path(folder, "stand-in")  # the name marks it as such
            write_cifar10(data_dir)
            write_hymenoptera(data_dir)
        settings = Settings(data_dir.absolute(), Path(folder), args.device, args.seeds, args.quick)
        for name in args.parts:
            started = time.perf_counter()
            try:
                result[name] = PARTS[name](settings)
            except Exception:
                result[name] = {"error": traceback.format_exc()}
            result[name]["part_seconds"] = round(time.perf_counter() - started, 1)
            print(name, json.dumps(result[name], indent=2), flush=True)
            args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    sys.exit(any("error" in result[name] for name in args.parts))


if __name__ == "__main__":
    main()
