"""What a person reads in the terminal: what runs on what, and how it went."""

import shlex
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from runs.network import network_name
from runs.record import Record


def notices(cfg: DictConfig, source: str) -> list[str]:
    """What must not be overlooked about a run: the lack of real data or of the weights that were asked for."""
    lines = []
    if source == "stand-in":
        lines.append(
            "STAND-IN DATA: drawn by this project, since the real data cannot be had; no figure says anything of it."
        )
    if wanted := cfg.network.get("substitute_for"):
        lines.append(
            f"SUBSTITUTE WEIGHTS: {network_name(cfg.network)} takes the place of {wanted}, whose weights cannot be had."
        )
    return lines


def print_start(record: Record, datamodule: Any, module: Any, trainer: Any) -> None:
    """One panel before training, in the first of several processes."""
    if not record.is_first_process:
        return
    cfg = record.cfg
    parameters = list(module.network.parameters())
    total, trained = (sum(p.numel() for p in ps) for ps in (parameters, [p for p in parameters if p.requires_grad]))
    counts = ", ".join(f"{count:,} {split}" for split, count in datamodule.counts().items())
    rows = {
        "experiment": f"{cfg.name}, seed {cfg.seed}",
        "network": f"{network_name(cfg.network)}: {trained:,} of {total:,} parameters trained",
        "data": f"{datamodule.name} ({datamodule.source}): {counts}",
        "device": f"{trainer.num_devices} × {trainer.strategy.root_device}, {trainer.precision}",
        "look": f"tensorboard --logdir {_typed(record.directory)}",
    }
    _panel(cfg.name, rows, notices(cfg, datamodule.source))


def print_end(record: Record) -> None:
    """One panel after training, in the first of several processes."""
    if not record.is_first_process:
        return
    figures = {name: value for name, value in record.metrics.items() if isinstance(value, float)}
    rows = {name: f"{value:.4g}" if abs(value) < 100 else f"{value:,.0f}" for name, value in figures.items()}
    rows["epochs"] = str(record.metrics["epochs"])
    rows["resume"] = f"python train.py resume={_typed(record.directory)}"
    _panel(f"{record.cfg.name}: done", rows, notices(record.cfg, record.data["source"]))


def _typed(directory: Path) -> str:
    """A directory as one would type it here."""
    here = Path.cwd()
    return shlex.quote(str(directory.relative_to(here) if directory.is_relative_to(here) else directory))


def _panel(title: str, rows: dict[str, str], warnings: list[str]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in rows.items():
        table.add_row(name, text)
    for line in warnings:
        table.add_row("[red]notice", f"[red]{line}")
    console = Console()
    # In a file, too, a command stays on one line, so that it can be copied.
    width = console.width if console.is_terminal else max(console.width, 12 + max(map(len, rows.values())) + 12)
    console.print(Panel(table, title=title, title_align="left"), width=width)
