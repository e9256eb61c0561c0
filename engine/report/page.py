"""report.html: a run on one page that can be opened offline, with its images beside it."""

import csv
import io
import shlex
from pathlib import Path
from typing import Any

import yaml

from engine.config.help import question
from engine.config.sweep_job import is_about_the_sweep, key_of
from engine.files import replace_text, replacing
from engine.pages.markup import Images, command_lines, document, escaped, paragraph, section, table
from engine.paths import CONF, typed
from engine.report.answer import answer, cross_validated
from engine.report.classes import confusion_csv
from engine.report.facts import Facts
from engine.report.results import curves_section, metrics_section, predictions_sections
from engine.report.settings import changes
from engine.results.cross_validation import can_be_cross_validated
from engine.wording import cell, figure, warnings_about

NAME = "report.html"
MAX_CHANGES, MAX_FINDINGS = 200, 12
COVERED = "An interval covers the random choice of the examples, not that of the seed."


def write_page(facts: Facts) -> Path:
    """Writes the page and its images into the run directory, each atomically; returns the page's path."""
    images: Images = {}
    body = "".join(
        [
            *(paragraph(notice, "notice") for notice in _notices(facts)),
            _head(facts),
            metrics_section(facts),
            curves_section(facts, images),
            predictions_sections(facts, images),
            paragraph(facts.missing, "faint") if facts.missing else "",
            _data(facts),
            _configuration(facts),
            _environment(facts),
            section("Commands", command_lines(_commands(facts))),
        ]
    )
    for name, png in images.items():
        with replacing(facts.directory / name) as file:
            file.write(png)
    if (rows := confusion_csv(facts)) is not None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([cell(value) for value in row] for row in rows)
        replace_text(facts.directory / "confusion_matrix.csv", text.getvalue())
    page = facts.directory / NAME
    replace_text(page, document(f"{facts.name}: {facts.directory.name}", body))
    return page


def _notices(facts: Facts) -> list[str]:
    network, data = facts.outcome.get("network") or {}, facts.outcome.get("data") or {}
    return warnings_about(str(data.get("source")), network.get("name"), network.get("substitute_for"))


def _head(facts: Facts) -> str:
    stopped = f"The training ended early: {why}." if (why := facts.outcome.get("stopped")) else ""
    said = {"completed": stopped, "pruned": "The search gave this run up early.", "": "This run has not ended yet."}
    status = str(facts.outcome.get("status", ""))
    ended = said.get(status, f"This run {'was interrupted' if status == 'interrupted' else 'failed'}: ")
    error = str(facts.outcome.get("error", "")) if ended.endswith(": ") else ""
    result = answer(
        facts.outcome,
        facts.best,
        monitor=facts.monitor,
        counts=facts.counts,
        classes=facts.classes,
        several=facts.several,
        once=facts.validated_once,
    )
    results = [text for text in (result, cross_validated(facts.cross_validation)) if text]
    return (
        f"<h1>{escaped(facts.name)}</h1>\n"
        + "".join(paragraph(text) for text in (*facts.remarks, _question(facts)) if text)
        + f"<pre><code>{escaped(_started(facts))}</code></pre>\n"
        + (paragraph(ended + error, "notice") if ended else "")
        + "".join(paragraph(text, "answer") for text in results)
        + (paragraph(COVERED, "faint") if "% interval" in result else "")
        + "\n"
    )


def _question(facts: Facts) -> str:
    """The experiment's question, if the experiment is part of this checkout."""
    file = CONF / "experiment" / f"{facts.experiment}.yaml"
    return question(file) if file.parent == CONF / "experiment" and file.is_file() else ""


def _data(facts: Facts) -> str:
    data: dict[str, Any] = facts.outcome.get("data") or {}
    rows = [("data", data.get("name", "")), ("source", data.get("source", ""))] if data else []
    splits = ("train", "val", "test")
    counted = [(f"{k} examples" if k in splits else k, f"{count:,}") for k, count in facts.counts.items()]
    first = facts.first_batch
    shown = paragraph("The first training batch, as the network sees it:") + first if first else ""
    found = facts.findings
    more = [f"{len(found) - MAX_FINDINGS} more are in train.log."] if len(found) > MAX_FINDINGS else []
    told = "".join(map(paragraph, [*found[:MAX_FINDINGS], *more]))
    return section("Data", table(["", ""], [*rows, *counted]), told, shown)


def _configuration(facts: Facts) -> str:
    found = changes(facts.config, facts.overrides)
    title = "Configuration"
    if found is None:
        return section(title, paragraph("This checkout has no such experiment to compare with; see config.yaml."))
    if not found:
        return section(title, paragraph("The experiment's defaults, unchanged."))
    rows = [(change.key, _written(change.default), _written(change.value)) for change in found[:MAX_CHANGES]]
    more = f" {len(found) - MAX_CHANGES} more are in config.yaml." if len(found) > MAX_CHANGES else ""
    return section(
        title, table(["key", "default", "this run"], rows, f"What differs from the experiment.{more}", "keys")
    )


def _written(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 300 else f"{text[:299]}…"


def _environment(facts: Facts) -> str:
    known = facts.outcome
    git = known.get("git")
    rows: list[tuple[str, object]] = []
    if isinstance(git, str):
        dirty = "with uncommitted changes" if git.endswith("-dirty") else "no uncommitted changes"
        rows.append(("git commit", f"{git.removesuffix('-dirty')}, {dirty}"))
    network = known.get("network") or {}
    rows += [("network", network["name"])] if network.get("name") else []
    for key in ("seed", "torch", "lightning", "python", "machine"):
        if known.get(key) is not None:
            rows.append((key, known[key]))
    for key in ("epochs", "seconds", "images_per_second"):
        if isinstance(known.get(key), int | float):
            rows.append((key.replace("_", " "), figure(known[key])))
    return section("Environment", table(["", ""], rows))


# Commands -------------------------------------------------------------------------------------------------------------


def _started(facts: Facts) -> str:
    """The command that started the run or, if that was itself a repetition, one that repeats it from its config."""
    if facts.experiment != _default_experiment() and "experiment" not in map(key_of, facts.overrides):
        return _again(facts)
    options = [word for folder in facts.config_dirs[:1] for word in ("--config-dir", folder)]
    given = [override for override in facts.overrides if not is_about_the_sweep(override)]
    return shlex.join(["python", "train.py", *options, *given])


def _again(facts: Facts) -> str:
    folder = str(facts.directory.absolute())
    command = shlex.join(["python", "train.py", "--config-path", folder, "--config-name", "config"])
    return f"{command} hydra.run.dir=NEW_DIR"


def _default_experiment() -> Any:
    """The experiment that conf/train.yaml selects."""
    content = yaml.safe_load((CONF / "train.yaml").read_text(encoding="utf-8"))
    return next(choice["experiment"] for choice in content["defaults"] if "experiment" in choice)


def _commands(facts: Facts) -> list[tuple[str, str]]:
    """Commands that work for this run, from the folder in which the page was written."""
    directory, checkpoints = typed(facts.directory), Path(facts.directory, "checkpoints")
    lines = [("Repeat", _started(facts))]
    if _started(facts) != _again(facts):
        lines.append(("Repeat from its config, whatever the experiment has become", _again(facts)))
    if (checkpoints / "last.ckpt").is_file():
        lines.append(("Resume; add trainer.max_epochs=N to train longer", f"python train.py resume={directory}"))
    if (checkpoints / "best.ckpt").is_file():
        lines.append(("Evaluate", f"python evaluate.py run={directory}"))
        if can_be_cross_validated(facts.config):
            command = f"python evaluate.py run={directory} split=cross_validation"
            lines.append(("Judge the recipe by photos that chose no epoch", command))
        if facts.classes:
            lines.append(("Predict", f"python predict.py run={directory} input=PHOTOS"))
    return [*lines, ("Write this page again", f"python report.py run={directory}")]
