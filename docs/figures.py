"""The results in the README and in the experiments' headers: all come from figures.yaml and can be measured again.

    python -m docs.figures --data-dir DIR                       measure all results again, and compare
    python -m docs.figures --data-dir DIR --only NAME,NAME      some of them
    python -m docs.figures --data-dir DIR --only NAME --write   replace the recorded values by the new ones
    python -m docs.figures --texts                              write the README's table and the headers from the record

A result agrees with its record if all runs have the same bits or, on a machine that gives other bits, if the means
differ by no more than chance: a two-sample t-test at 1 %. The exit code is 1 if one does not.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
FILE = Path(__file__).with_name("figures.yaml")
README = ROOT / "README.md"
HEADERS = ROOT / "conf" / "experiment"
PLACE = re.compile(r"\{(?:(?P<row>\w+) )?(?P<metric>\w+(?:/\w+)+|n)(?: (?P<form>mean|values))?\}")
"""`{val/acc}`, `{val/acc mean}` or `{val/acc values}` of its own row, `{other_row val/acc}` of another, `{n}`: runs."""

CHANCE = 0.01

Row = dict[str, Any]


def load() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return content


# Measuring ------------------------------------------------------------------------------------------------------------


def measured(row: Row, data_dir: Path, folder: Path, jobs: int = 1) -> Row:
    """The row with today's results of its command, run for each seed, `jobs` at a time."""

    def metrics(seed: int) -> Any:
        run = folder / f"{abs(hash(row['command']))}_{seed}"
        settings = [f"seed={seed}", f"hydra.run.dir={run}", f"datamodule.data_dir={data_dir}"]
        words = shlex.split(row["command"])[1:] + (settings if row.get("data") else settings[:2])
        words[0] = str(ROOT / words[0])
        done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{shlex.join(words)} failed:\n{done.stdout}{done.stderr}")
        return json.loads((run / "metrics.json").read_text(encoding="utf-8"))

    with ThreadPoolExecutor(jobs) as pool:
        runs = list(pool.map(metrics, range(len(next(iter(row["values"].values()))))))
    if row.get("data") and (sources := {run["data"]["source"] for run in runs}) != {row["data"]}:
        sys.exit(f"The figures are of {row['data']} data; in {data_dir} it is {', '.join(sources)}: give --data-dir.")
    values = {metric: [round(run[metric], 6) for run in runs] for metric in row["values"]}
    seconds = round(statistics.median(run["seconds"] for run in runs), 1)
    return row | {
        "values": values,
        "seconds": seconds,
        "machine": machine(),
        "commit": commit(),
        "digest": digest(runs),
    }


def commit() -> str:
    """The commit that is checked out, `-dirty` if anything but the texts written from the record has changed."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    texts = (":!docs", ":!README.md", ":!conf/experiment")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", *texts)
    return (git("rev-parse", "--short", "HEAD") or "unknown") + "-dirty" * bool(changed)


def machine() -> str:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, {cores} CPU cores"
    threads = f"{torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"
    return f"{platform.machine()} CPU, {torch.backends.cpu.get_cpu_capability()}, {cores} cores, {threads}"


def digest(runs: Sequence[Mapping[str, Any]]) -> str:
    """A hash of the exact values of all metrics of the runs."""
    lines = [
        f"{name}={run[name]!r}" for run in runs for name in sorted(run) if "/" in name and "images_per" not in name
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def disagreements(recorded: Row, found: Row) -> list[str]:
    """The differences that cannot be chance."""
    from scipy.stats import ttest_ind

    if recorded["digest"] == found["digest"]:
        return []
    told = []
    for metric, before in recorded["values"].items():
        now = found["values"][metric]
        same = sorted(before) == sorted(now)
        if not same and (len(now) < 2 or not ttest_ind(before, now).pvalue >= CHANCE):
            told.append(f"{metric}: {percent(now)} instead of {percent(before)}")
    return told


# Writing --------------------------------------------------------------------------------------------------------------


def percent(values: Sequence[float], form: str | None = None) -> str:
    """`94.3 ± 0.5 %` (mean and standard deviation), or another form; fewer than three values are listed."""
    shown = [f"{100 * value:.1f}" for value in values]
    if form == "values" or (form is None and len(values) < 3):
        return f"{', '.join(shown)} %"
    mean = 100 * statistics.mean(values)
    if form == "mean":
        return f"{mean:.1f} %"
    spread = statistics.stdev(values)
    return f"{mean:.1f} ± {100 * spread:.1f} %" if spread else f"{mean:.1f} % in all"


def told(template: str, name: str | None, rows: Mapping[str, Row]) -> str:
    """Fills in a template's placeholders; `name` is the row that it belongs to."""

    def figure(match: re.Match[str]) -> str:
        values = rows[match["row"] or name or ""]["values"]
        if match["metric"] == "n":
            return str(len(next(iter(values.values()))))
        return percent(values[match["metric"]], match["form"])

    return PLACE.sub(figure, " ".join(template.split()))


def with_result(header: str, command: str, result: str) -> str:
    """An experiment's YAML with this command and result in its header."""
    header = re.sub(r"# Command: .*", lambda _: f"# Command:  {command}", header, count=1)
    lines = textwrap.wrap(result, 120 - 12, break_on_hyphens=False)
    block = "".join(f"# {'Result:  ' if line is lines[0] else ' ' * 9} {line}\n" for line in lines)
    return re.sub(r"# Result: .*\n(?:#  +.*\n)*", lambda _: block, header, count=1)


def with_table(readme: str, cells: Mapping[str, str]) -> str:
    """The README with these results in the table rows that name the experiments first."""
    for experiment, cell in cells.items():
        pattern = rf"(?m)^(\|[^|]*\| `{experiment}`[^|]*\|)[^|]*\|"
        readme, count = re.subn(pattern, lambda match, cell=cell: f"{match[1]} {cell} |", readme)
        if count != 1:
            sys.exit(f"README.md has {count} rows of {experiment}, where one was expected.")
    return readme


def texts() -> dict[Path, str]:
    """All files whose text is written from the record, as they should be."""
    content = load()
    rows: dict[str, Row] = content["figures"]
    found = {
        HEADERS / f"{name}.yaml": with_result(
            (HEADERS / f"{name}.yaml").read_text(encoding="utf-8"), row["command"], told(row["header"], name, rows)
        )
        for name, row in rows.items()
        if "header" in row
    }
    cells = {experiment: told(template, None, rows) for experiment, template in content["readme"].items()}
    return found | {README: with_table(README.read_text(encoding="utf-8"), cells)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="folder of the photos and of CIFAR-10")
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; several slow each other down")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--texts", action="store_true")
    arguments = parser.parse_args()
    content = load()
    rows: dict[str, Row] = content["figures"]
    names = [name for name in arguments.only.split(",") if name] or list(rows)
    if unknown := sorted(set(names) - rows.keys()):
        sys.exit(f"figures.yaml has no {', '.join(unknown)}; there are {', '.join(rows)}.")
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in names if not arguments.texts else ():
            found = measured(rows[name], arguments.data_dir.absolute(), Path(folder), arguments.jobs)
            different = disagreements(rows[name], found)
            same_bits = found["digest"] == rows[name]["digest"]
            print(f"{name}: {'; '.join(different) or ('the same bits' if same_bits else 'agrees')}", flush=True)
            wrong += bool(different)
            if arguments.write:
                rows[name] = found
                write(content)
    if arguments.write or arguments.texts:
        for path, text in texts().items():
            path.write_text(text, encoding="utf-8")
    sys.exit(bool(wrong) and not arguments.write)


def write(content: Mapping[str, Any]) -> None:
    """Writes figures.yaml, keeping the comment at its head."""
    head = "".join(line for line in FILE.read_text(encoding="utf-8").splitlines(True) if line.startswith("#"))
    body = yaml.dump(content, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
    FILE.write_text(head + body, encoding="utf-8")


if __name__ == "__main__":
    main()
