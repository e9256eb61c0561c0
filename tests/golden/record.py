"""Golden digests: what every experiment computes, to the bit, as hashes of its curves, its weights and its metrics.

    python -m tests.golden.record                     compare all experiments with digests.json
    python -m tests.golden.record lenet_nll           one of them
    python -m tests.golden.record --write             renew digests.json: the diff then shows which bits changed
    python -m tests.golden.record --checkout DIR      what another checkout computes, say that of an earlier commit
    python -m tests.golden.record --against COMMIT    compare all experiments that both have with those of a commit

Each experiment runs through `train.py` in a process of its own: two epochs, one thread, on generated data. Bits depend
on torch's release and on the processor, so digests.json has one entry for each pair of these. A digest that a change
made outdated is removed where it could not be computed again.
"""

import argparse
import csv
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).with_name("digests.json")
CLOSED = "http://127.0.0.1:9"
"""A proxy that refuses at once: whatever would be downloaded is generated."""

SHORT = ("trainer=cpu", "trainer.max_epochs=2", "logger=[tensorboard,csv]")
SHORTENED: Mapping[str, Sequence[str]] = {
    "transfer": (
        *("datamodule.image_size=64", "datamodule.num_workers=0", "datamodule.batch_size=16"),
        "datamodule.eval_transform.transforms=[{_target_:torchvision.transforms.v2.Resize,size:256},"
        "{_target_:torchvision.transforms.v2.CenterCrop,size:64}]",
    ),
    "cifar10_resnet": ("trainer.max_steps=20",),
    "cifar10_airbench": (
        *("network.widths=[16,32,32]", "trainer.max_steps=20", "trainer.check_val_every_n_epoch=1"),
        *("datamodule.batch_size=128", "trainer.log_every_n_steps=1"),
    ),
}
"""Overrides by the start of an experiment's name."""

MEASURED_TIMES = "images_per_second"


def experiments(checkout: Path) -> list[str]:
    return sorted(path.stem for path in (checkout / "conf" / "experiment").glob("*.yaml"))


def machine() -> str:
    """What bits depend on, as a key of digests.json: MKL and oneDNN choose their kernels by vendor and instructions."""
    information = Path("/proc/cpuinfo")
    found = re.search(r"vendor_id\s*:\s*(\S+)", information.read_text()) if information.exists() else None
    vendor = found[1] if found else platform.processor()
    bf16 = " with BF16" if torch.cpu._is_avx512_bf16_supported() else ""
    return f"torch {version('torch')}, {vendor}, {torch.backends.cpu.get_cpu_capability()}{bf16}"


def digests(experiment: str, checkout: Path, folder: Path) -> dict[str, str]:
    """Runs the experiment in `folder`, whose `data` may be there from others, and hashes what it left."""
    folder.mkdir(exist_ok=True)
    run = folder / "runs" / experiment
    overrides = [o for start, some in SHORTENED.items() if experiment.startswith(start) for o in some]
    command = [sys.executable, str(checkout / "train.py"), f"experiment={experiment}", f"hydra.run.dir={run}"]
    closed = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), CLOSED)
    empty = {"TORCH_HOME": str(folder / "torch"), "HF_HOME": str(folder / "huggingface"), "HF_HUB_OFFLINE": "1"}
    environment = {**os.environ, **closed, **empty, "OMP_NUM_THREADS": "1", "PYTHONPATH": "", "PYTHONSAFEPATH": ""}
    done = subprocess.run([*command, *SHORT, *overrides], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{experiment} ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    (directory,) = run.parent.glob(f"{experiment}*")
    return {"curves": _curves(directory), "weights": _weights(directory), "metrics": _metrics(directory)}


def _curves(directory: Path) -> str:
    with (directory / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return _hash(",".join(row) for row in csv.reader(file) if not row[1].endswith(MEASURED_TIMES))


def _weights(directory: Path) -> str:
    digest = hashlib.sha256()
    for name in ("best.ckpt", "last.ckpt", "backbone.ckpt"):
        path = directory / "checkpoints" / name
        if path.is_file():
            checkpoint = torch.load(path, weights_only=True)
            for key, tensor in sorted(checkpoint.get("state_dict", checkpoint).items()):
                digest.update(key.encode())
                digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _metrics(directory: Path) -> str:
    content: dict[str, Any] = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))
    if content.get("format") and content.get("best/epoch"):
        content["best/epoch"] -= 1  # counted from 0, as earlier versions did
    return _hash(
        f"{key}={value!r}" for key, value in sorted(content.items()) if "/" in key and MEASURED_TIMES not in key
    )


def _hash(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def record(names: Sequence[str], checkout: Path) -> dict[str, dict[str, str]]:
    """The digests of all named experiments, two at a time; the data is generated before they start side by side."""
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(2) as pool:
        folder = Path(temporary)
        firsts = [next((n for n in names if n.startswith(start)), None) for start in ("cifar10", "transfer")]
        found = {name: digests(name, checkout, folder) for name in firsts if name}
        rest = [name for name in names if name not in found]
        found |= zip(rest, pool.map(lambda name: digests(name, checkout, folder), rest), strict=True)
    return {name: found[name] for name in sorted(found)}


def of_commit(commit: str, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The digests that a commit of this repository gives, of those of the named experiments that it has."""
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder, "checkout")
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", checkout, commit], cwd=ROOT, check=True)
        try:
            return record([name for name in names if name in experiments(checkout)], checkout)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", checkout], cwd=ROOT, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", help="all of them if none is named")
    parser.add_argument("--write", action="store_true", help="renew digests.json")
    parser.add_argument("--checkout", type=Path, default=ROOT, help="the checkout that is run")
    parser.add_argument("--against", metavar="COMMIT", help="what is compared with, instead of digests.json")
    arguments = parser.parse_args()
    names = arguments.experiments or experiments(arguments.checkout)
    if arguments.against:
        known = of_commit(arguments.against, names)
        tell(record([name for name in names if name in known], arguments.checkout.absolute()), known)
    found = record(names, arguments.checkout.absolute())
    kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    if machine() not in kept and not arguments.write:
        sys.exit(f"digests.json has no entry for {machine()}: --write --checkout DIR makes one of another commit.")
    known = kept.get(machine(), {})
    if arguments.write:
        kept[machine()] = {**known, **found}
        FILE.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    tell(found, known, fails=not arguments.write)


def tell(found: Mapping[str, Any], known: Mapping[str, Any], *, fails: bool = True) -> None:
    """Prints which experiments have other bits than are known, and exits; if it `fails`, with 1 if there are any."""
    changed = [f"{name}: none known" for name in found if name not in known]
    for name in found.keys() & known.keys():
        if unknown := [kind for kind in found[name] if kind not in known[name]]:
            print(f"{name}: not compared, since digests.json has none: {', '.join(unknown)}")
        if others := [kind for kind, digest in found[name].items() if known[name].get(kind, digest) != digest]:
            changed.append(f"{name}: other {', '.join(others)}")
    print("\n".join(changed) or f"{len(found)} experiments: the same bits ({machine()})")
    sys.exit(bool(changed) and fails)


if __name__ == "__main__":
    main()
