"""Draws the report's plots as PNG files."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.pages.curves import Chart
from engine.pages.figure import COLORS, Drawing, drawn, panels_of, spans_decades, write_text, written_as
from engine.results.outputs import Predictions

MAX_NAMED, MAX_PANELS, MAX_POINTS = 40, 24, 5000


def draw_curves(charts: Sequence[Chart], epoch_ends: Sequence[int] | None, best_step: int | None) -> Drawing:
    """One panel per chart, over epochs if their last steps are known; a dashed line marks the best epoch."""

    def place(steps: Any) -> Any:
        return steps if epoch_ends is None else np.interp(steps, [0, *epoch_ends], range(len(epoch_ends) + 1))

    figure, panels = panels_of(len(charts), columns=min(3, len(charts)), panel=(3.6, 2.7))
    for chart, axes in zip(charts, panels, strict=True):
        for label, curve in chart.curves.items():
            every = -(-len(curve) // MAX_POINTS)
            shown = list(curve)[::every]
            values = [curve[step] if math.isfinite(curve[step]) else math.nan for step in shown]
            marker = "o" if len(curve) < 3 else None
            color = COLORS.get(label)
            axes.plot(place(shown), values, label=label, color=color, marker=marker, lw=1.4)
        if best_step is not None:
            axes.axvline(place(best_step), color="#888", ls="--", lw=1)
        if spans_decades(value for curve in chart.curves.values() for value in curve.values()):
            axes.set_yscale("log")
        write_text(axes.title, chart.title, 10)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(steps := {step for curve in chart.curves.values() for step in curve}) == 1:
            only = float(place(steps.pop()))
            axes.set_xticks([only], [f"{only:g}"])
        axes.set_xlabel("optimizer step" if epoch_ends is None else "epoch", fontsize=9)
        if set(chart.curves) & set(COLORS):
            for text, label in zip(axes.legend(frameon=False).get_texts(), chart.curves, strict=True):
                write_text(text, label, 8)
    return drawn(figure)


def draw_confusion(counts: Any, classes: Sequence[str]) -> Drawing:
    """The confusion matrix of counts (K, K), true classes as rows; without text for more than MAX_NAMED classes."""
    size = len(classes)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    named = size <= MAX_NAMED
    side = max(3.4, min(0.62 * size, 16)) if named else 8.0
    labels = [written_as(name)[0] for name in classes] if named else []
    room = 0.65 + 0.085 * max(map(len, labels), default=0)
    is_upright = 0.085 * max(map(len, labels), default=0) > side / size
    below = room if is_upright else 0.65
    figure, (axes,) = panels_of(1, 1, (side + room + 0.15, side + below + 0.3), room, below)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xlabel="predicted class", ylabel="true class")
    if named:
        axes.set_xticks(range(size), labels, rotation=90 if is_upright else 0)
        axes.set_yticks(range(size), labels)
        for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
            for artist, name in zip(ticks, classes, strict=True):
                write_text(artist, name, 8)
        for row, column in np.ndindex(size, size):
            if counts[row, column]:
                text = f"{counts[row, column]}\n{shares[row, column]:.0%}"
                ink = "white" if shares[row, column] > 0.5 else "#222"
                axes.text(column, row, text, ha="center", va="center", fontsize=7 if size > 5 else 9, color=ink)
    return drawn(figure)


def draw_numbers(predictions: Predictions) -> Drawing:
    """Predictions against targets, all outputs in one panel, with the line where both are equal."""
    targets, outputs = predictions.targets.flatten().numpy(), predictions.outputs.flatten().numpy()
    every = max(1, len(targets) // MAX_POINTS)
    figure, (axes,) = panels_of(1, 1, (4.6, 4.4))
    finite = np.isfinite(outputs) & np.isfinite(targets)
    targets, outputs = targets[finite], outputs[finite]
    if len(targets):
        ends = [min(targets.min(), outputs.min()), max(targets.max(), outputs.max())]
        axes.plot(ends, ends, color="#888", lw=1)
    axes.scatter(targets[::every], outputs[::every], s=9, alpha=0.5, color=COLORS["val"], linewidths=0)
    axes.set(xlabel="target", ylabel="predicted")
    return drawn(figure)


def draw_labels(predictions: Predictions, labels: Sequence[str]) -> Drawing:
    """One panel per label: histograms of its predicted probability where it applies and where it does not."""
    shown = range(min(len(labels), MAX_PANELS))
    figure, panels = panels_of(len(shown), columns=min(4, len(shown)), panel=(2.8, 2.1))
    bins = np.linspace(0, 1, 21)
    for number, axes in zip(shown, panels, strict=True):
        output, true = predictions.outputs[:, number].numpy(), predictions.targets[:, number].numpy()
        axes.hist(output[~true], bins, color=COLORS["train"], alpha=0.55, label="does not apply")
        axes.hist(output[true], bins, color=COLORS["val"], alpha=0.55, label="applies")
        axes.axvline(0.5, color="#888", ls="--", lw=1)
        axes.set_yscale("symlog", linthresh=1)
        write_text(axes.title, labels[number], 9)
        axes.set_xlabel("probability", fontsize=8)
    panels[0].legend(fontsize=7, framealpha=0.85, edgecolor="none")
    return drawn(figure)
