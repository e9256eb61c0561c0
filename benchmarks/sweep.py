"""What a sweep costs in addition to its trainings: `python benchmarks/sweep.py --data-dir DIR`.

100 feature-extractor runs (25 seeds × 4 learning rates, EfficientNet-Lite0) from a warm feature cache, one after the
other in one worker process. Hydra's callbacks are timed in the sweep's own process: the ledger's share must stay below
5 %. The rest is the trainings (`seconds` in their metrics.json), Hydra's composition of configs, and imports.
Prints the results, and writes them to a JSON file. docs/speed.md compares two commits.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))


def timed(method: Callable[..., Any], name: str, seconds: "defaultdict[str, float]") -> Callable[..., Any]:
    """Wraps the method to add its time to `seconds[name]`."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return method(*args, **kwargs)
        finally:
            seconds[name] += time.perf_counter() - started

    return wrapper


def sweep(arguments: list[str]) -> dict[str, float]:
    """Runs `python train.py <arguments>` in this process, and reports where its seconds went."""
    from engine.config.resolvers import register_resolvers
    from engine.sweep.ledger import Ledger
    from train import main

    seconds: defaultdict[str, float] = defaultdict(float)
    for name in ("on_multirun_start", "on_job_start", "on_job_end", "on_multirun_end"):
        setattr(Ledger, name, timed(getattr(Ledger, name), name, seconds))
    sys.argv[1:] = ["--config-path", str(ROOT / "conf"), *arguments]
    register_resolvers()
    started = time.perf_counter()
    main()
    seconds["sweep"] = time.perf_counter() - started
    return dict(seconds)


def measure(data_dir: Path, seeds: int) -> dict[str, Any]:
    settings = [
        "experiment=transfer_feature_extractor",
        "network=efficientnet_lite0",
        f"datamodule.data_dir={data_dir}",
    ]
    subprocess.run([sys.executable, str(ROOT / "train.py"), *settings, "trainer.max_epochs=1"], check=True)
    swept = [f"seed=range({seeds})", "optimizer.lr=0.0003,0.001,0.003,0.01"]
    figures = sweep(["-m", *settings, *swept, "hydra.sweep.dir=sweep", "hydra.launcher.n_jobs=1"])
    jobs = json.loads(Path("sweep/sweep.json").read_text(encoding="utf-8"))["jobs"]
    figures["trainings"] = sum(job["seconds"] for job in jobs)
    figures["ledger"] = sum(value for name, value in figures.items() if name.startswith("on_"))
    figures["ledger, %"] = 100 * figures["ledger"] / figures["sweep"]
    return {"jobs": len(jobs), "completed": sum(job["status"] == "completed" for job in jobs)} | figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="holds hymenoptera_data/")
    parser.add_argument("--seeds", type=int, default=25, help="times four learning rates")
    parser.add_argument("--output", type=Path, default=Path("sweep_benchmark.json"))
    options = parser.parse_args()
    data_dir, output = options.data_dir.absolute(), options.output.absolute()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        report = measure(data_dir, options.seeds)
    output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for name, value in report.items():
        print(f"{name:<20}{value:>10.4g}")


if __name__ == "__main__":
    main()
