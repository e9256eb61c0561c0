"""The panels printed before and after training."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import ModelPruning
from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from engine.build import FOR_MODULE, given_to_module, network_name
from engine.errors import printable
from engine.paths import command, tensorboard, typed
from engine.protocols import Classes, InputShape, LooksAtItself, PredictsClasses
from engine.results.cross_validation import can_be_cross_validated
from engine.run.data_facts import classes_of, counts_of, data_name, notices
from engine.run.record import Record, best_checkpoint
from engine.run.trust.allowlist import ALLOW, targets, unlisted
from engine.training.accounted_module import AccountedModule
from engine.training.early_end import lifting
from engine.training.parameter_groups import counted
from engine.training.procedure import Procedure
from engine.training.steps.chunks import single_steps_because
from engine.wording import class_metric, class_metrics, figure, markup

MARGIN = 18  # columns of a panel that are not available to a command
SPLITS = ("train", "val", "test", "best")
MAX_CLASSES = 20
"""With more classes, only the worst are listed."""


def print_start(record: Record, datamodule: Any, module: Any, trainer: Any) -> None:
    """Prints a panel before training, in the first process only."""
    if not record.is_first_process:
        return
    cfg = record.cfg
    name = network_name(cfg.get("network")) if "network" in given_to_module(cfg) else None
    network = module.network if isinstance(module, Procedure) else module
    rows = {
        "experiment": f"{cfg.get('experiment', cfg.name)}, seed {cfg.seed}",
        "network": f"{name or type(module).__name__}: {counted(network)}",
        "data": _data(datamodule),
        "device": f"{trainer.num_devices} × {trainer.strategy.root_device}, {trainer.precision}",
        "directory": str(record.directory.absolute()),
    }
    rows |= {key: text for key in ("tags", "notes") if (text := named(cfg.get(key)))}
    photos = getattr(datamodule, "photos", datamodule)
    if isinstance(photos, LooksAtItself) and (findings := photos.findings()):
        rows["look out"] = "\n".join(findings)
    if missing := "; ".join(not_guaranteed(record, datamodule, module, trainer)):
        rows["limits"] = f"not guaranteed: {missing}"
    if whole := _whole_in_one_batch(datamodule):
        rows["batch"] = whole
    if reason := single_steps_because(trainer, module, datamodule):
        rows["steps"] = f"one at a time, not {datamodule.chunk}: {reason}"
    if record.resume is not None:
        rows |= record.resume.rows()
    commands = {"look": tensorboard(record.directory)}
    _print_panel(cfg.name, [], rows | _noticed(cfg, data_name(datamodule)["source"]), commands)


def _whole_in_one_batch(datamodule: Any) -> str | None:
    """A note if the batch is larger than the training data."""
    size, examples = getattr(datamodule, "batch_size", None), counts_of(datamodule).get("train")
    if not isinstance(size, int) or not examples or size <= examples:
        return None
    return f"all {examples:,} training examples fit in one batch of {size:,}: one step per epoch"


def named(value: Any) -> str:
    """A run's tags or notes as text."""
    return (
        ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value or "")
    )


def _data(datamodule: Any) -> str:
    data = data_name(datamodule)
    source = "" if data["source"] == "unknown" else f" ({data['source']})"
    counts = counts_of(datamodule)
    return f"{data['name']}{source}" + ": " * bool(counts) + ", ".join(f"{n:,} {split}" for split, n in counts.items())


def not_guaranteed(record: Record, datamodule: Any, module: Any, trainer: Any) -> Iterator[str]:
    """Features that this run lacks because of its parts or settings."""
    cfg = record.cfg
    if not isinstance(module, AccountedModule):
        yield f"what {type(module).__name__} keeps in plain attributes, if resumed"
    if any(isinstance(callback, ModelPruning) for callback in trainer.callbacks):
        yield "an exact resume, as checkpoints lack ModelPruning's masks"
    if not isinstance(datamodule, Classes):
        yield "per-class metrics"
    if not (isinstance(module, PredictsClasses) and isinstance(datamodule, InputShape)):
        yield "predict.py"
    metric = OmegaConf.select(cfg, "monitor.metric")
    if best_checkpoint(trainer, metric) is None:
        kept = f"no callback saves the best epoch by {metric}" if metric else "monitor=null"
        yield f"a best checkpoint ({kept})"
    unused = [part for part in FOR_MODULE if cfg.get(part) is not None and part not in given_to_module(cfg)]
    if unused:
        yield f"use of {', '.join(unused)}, which {type(module).__name__} does not take"
    refused = {str(target) for _, target in targets(OmegaConf.to_container(cfg, resolve=False)) if unlisted(target)}
    if refused:
        packages = ",".join(sorted({target.partition(".")[0] for target in refused}))
        yield (
            f"resume, evaluate.py and export.py, which refuse {', '.join(sorted(refused))} unless you set "
            f"{ALLOW}={packages}"
        )


# At the end -----------------------------------------------------------------------------------------------------------


class Column(NamedTuple):
    """The metrics of a split (train, val, test) at one epoch; their names lack the split's prefix."""

    title: str
    split: str
    figures: Mapping[str, float]


def print_end(record: Record) -> None:
    """Prints a panel after training, in the first process only."""
    if not record.is_first_process:
        return
    metrics, classes = record.metrics, _classes(record)
    columns = figures(metrics, best_figures(record))
    rate = metrics["images_per_second"]
    epochs = f"{metrics['epochs']} epoch{'' if metrics['epochs'] == 1 else 's'}"
    rows = {"time": f"{epochs} in {timedelta(seconds=round(record.seconds))}"}
    rows["time"] += f", {rate:,.{0 if rate >= 10 else 1}f} examples per second" if rate else ""
    if record.stopped:
        last = OmegaConf.select(record.cfg, "trainer.max_epochs")
        of = f" of {last}" if isinstance(last, int) and last > 0 else ""
        rows["stopped"] = f"after epoch {metrics['epochs']}{of}: {record.stopped}"
    rows |= _noticed(record.cfg, record.data["source"])
    tables = [overall_table(columns, classes), class_table(columns, classes)]
    if not _has_best(record):
        rows["best"] = f"none: {_why_no_best(record)}"
    elif record.best_was_selected and "test" not in {column.split for column in columns}:
        rows["best"] = "selected on the same validation examples; the last epoch was not"
    _print_panel(f"{record.cfg.name}: done", tables, rows, next_commands(record, bool(classes)))


def best_figures(record: Record) -> dict[str, float]:
    """All metrics at the best epoch, from its checkpoint, which train.py has loaded."""
    best = record.metrics.get("best/epoch")
    return {} if best is None else getattr(record.trainer.lightning_module, "logged_before", {})


def figures(metrics: Mapping[str, Any], best: Mapping[str, float]) -> list[Column]:
    """Columns for the last training epoch, the validation at the last and the best epoch, and the test."""
    last, best_epoch = metrics["epochs"], metrics.get("best/epoch")
    columns = [Column(f"train, epoch {last}", "train", _of_split(metrics, "train"))]
    if best_epoch is None:
        columns.append(Column(f"val, epoch {last}", "val", _of_split(metrics, "val")))
    elif best_epoch != last:
        columns.append(Column(f"val, epoch {last}", "val", _of_split(metrics, "val")))
        columns.append(Column(f"val, best: epoch {best_epoch}", "val", _of_split(best, "val")))
    else:
        columns.append(Column(f"val, epoch {last} (best)", "val", _of_split(metrics, "val")))
    tested = f"test, epoch {last}" if best_epoch is None else "test, best epoch"
    columns.append(Column(tested, "test", _of_split(metrics, "test")))
    columns.append(Column("last value", "", _of_no_split(metrics)))
    return [column for column in columns if column.figures]


def _of_split(metrics: Mapping[str, Any], split: str) -> dict[str, float]:
    values = {name.removeprefix(f"{split}/"): value for name, value in metrics.items() if name.startswith(f"{split}/")}
    return {name: value for name, value in values.items() if name != "images_per_second"}


def _of_no_split(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Metrics without a split's prefix, such as a LightningModule's val_loss."""
    known = ("epochs", "images_per_second")
    return {n: value for n, value in metrics.items() if n not in known and n.partition("/")[0] not in SPLITS}


def overall_table(columns: Sequence[Column], classes: Sequence[str]) -> Table:
    """One row per metric, without the per-class metrics."""
    names = dict.fromkeys(
        name for column in columns for name in column.figures if name not in class_metrics(column.figures, classes)
    )
    table = _table("metric", [column.title for column in columns])
    for name in sorted(names, key=lambda name: name != "loss"):  # stable
        table.add_row(markup(name), *(figure(column.figures.get(name)) for column in columns))
    return table


def class_table(columns: Sequence[Column], classes: Sequence[str]) -> Table:
    """One row per class: its metrics at the best epoch and in the test. With many classes, only the worst rows."""
    shown = [column for column in columns if column.split != "train"]
    shown = [column for column in shown if column.split == "test" or column is _last_val(columns)]
    kinds = {kind for column in shown for kind, _ in class_metrics(column.figures, classes).values()}
    pairs = [(column, kind) for column in shown for kind in sorted(kinds)]
    rows = [(label, [column.figures.get(class_metric(kind, label)) for column, kind in pairs]) for label in classes]
    if not kinds:
        return Table()
    alone = len(kinds) == 1
    table = _table(
        f"{min(kinds)} of class" if alone else "class",
        [column.title if alone else f"{kind}: {column.title}" for column, kind in pairs],
    )
    if len(rows) > MAX_CLASSES:
        rows = sorted(rows, key=lambda row: float(row[1][0] if row[1][0] is not None else 1))[:MAX_CLASSES]
        table.caption = f"the {MAX_CLASSES} lowest of {len(classes):,} classes"
    for label, values in rows:
        table.add_row(markup(label), *map(figure, values))
    return table


def next_commands(record: Record, has_classes: bool) -> dict[str, str]:
    """The commands you will probably want next."""
    directory = typed(record.directory)
    if OmegaConf.select(record.cfg, "trainer.max_epochs") == -1:
        key, done = "max_steps", record.trainer.global_step
    else:
        key, done = "max_epochs", record.metrics["epochs"]
    ending = lifting(record.cfg) if record.stopped else []
    more = " ".join(map(shlex.quote, ending or [f"trainer.{key}={2 * done}"]))
    commands = {
        "look": tensorboard(record.directory),
        "evaluate": f"{command('evaluate.py')} run={directory}",
        "predict": f"{command('predict.py')} run={directory} input=PHOTOS",
        "export": f"{command('export.py')} run={directory} format=onnx",
        "resume": f"{command('train.py')} resume={directory} {more}",
    }
    if can_be_cross_validated(record.cfg) and _has_best(record):
        commands["judge"] = f"{command('evaluate.py')} run={directory} split=cross_validation"
    works = {"look", "judge", *(["evaluate", "export"] if _has_best(record) else [])}
    works |= {"predict"} if has_classes and _has_best(record) else set()
    works |= {"resume"} if (record.directory / "checkpoints" / "last.ckpt").is_file() else set()
    return {name: line for name, line in commands.items() if name in works}


def _has_best(record: Record) -> bool:
    return record.metrics.get("best/epoch") is not None


def _why_no_best(record: Record) -> str:
    if "best/epoch" in record.metrics:
        return "no epoch was validated"
    return "no checkpoint was kept" if record.cfg.monitor.metric else "no metric is monitored"


def _classes(record: Record) -> Sequence[str]:
    return classes_of(getattr(record.trainer, "datamodule", None))


def _last_val(columns: Sequence[Column]) -> Column | None:
    """The last `val` column: the best epoch's if there is one."""
    return next((column for column in reversed(columns) if column.split == "val"), None)


# Drawing --------------------------------------------------------------------------------------------------------------


def _table(first: str, titles: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, style="bold")
    for title in titles:
        table.add_column(markup(title), justify="right")
    return table


def _grid(rows: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in rows.items():
        notice = name.startswith("notice")
        cells = ("notice" if notice else name, printable(text, kept="\n"))
        table.add_row(*(Text(cell, "red" if notice else "") for cell in cells))
    return table


def _noticed(cfg: DictConfig, source: str) -> dict[str, str]:
    return {f"notice {number}": text for number, text in enumerate(notices(cfg, source))}


def _print_panel(title: str, tables: Sequence[Table], rows: Mapping[str, str], commands: Mapping[str, str]) -> None:
    """Prints the non-empty tables, the rows and the commands; each command stays on one line so it can be copied."""
    console = Console()
    needed = max(map(len, commands.values())) + MARGIN
    if not console.is_terminal and needed > console.width:
        console = Console(width=needed)
    fits = needed <= console.width
    parts = [table for table in tables if table.row_count] + [_grid({**rows, **commands} if fits else rows)]
    spaced = [Padding(part, (0 if part is parts[0] else 1, 0, 0, 0)) for part in parts]
    console.print(Panel(Group(*spaced), title=Text(printable(title)), title_align="left"))
    for line in () if fits else commands.values():
        console.print(printable(line), soft_wrap=True, highlight=False, markup=False)
