"""Checks the root keys of a config against conf/train.yaml."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from lightning_fabric.utilities.seed import max_seed_value, min_seed_value
from omegaconf import OmegaConf
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.model_helpers import is_overridden

from engine.build import FOR_MODULE, takes
from engine.paths import CONF
from engine.preflight.findings import Findings
from engine.preflight.signatures import check_hint, signature_of
from engine.preflight.targets import find_target
from engine.training.procedure import Procedure
from engine.wording import nearest

ENOUGH = 100
"""The search stops after this many mistakes."""


def check_root(findings: Findings) -> None:
    """Checks root keys against conf/train.yaml: unknown and missing ones, and the types of plain values."""
    known = OmegaConf.to_container(OmegaConf.load(CONF / "train.yaml"))
    assert isinstance(known, dict)
    own = {str(key): value for key, value in known.items() if key not in ("defaults", "hydra")}
    groups = [path.name for path in CONF.iterdir() if path.is_dir()]
    for group in _needed(findings.values):
        if findings.values.get(group) is None:
            choices = [path.stem for path in (CONF / group).glob("*.yaml")]
            findings.add(group, f"is required: give {group}=NAME; {nearest('', choices)}")
    # The contents of groups are checked separately.
    _check_keys(findings, findings.values, own | dict.fromkeys([*groups, "features"]), "")
    seed = findings.values.get("seed")
    if isinstance(seed, int) and not min_seed_value <= seed <= max_seed_value:
        findings.add("seed", f"must be a whole number from {min_seed_value} to {max_seed_value:,}")
    _check_names(findings)
    if findings.raw.get("run_dir") != own["run_dir"]:
        findings.add("run_dir", "is set from hydra.run.dir: give that instead")


def _check_names(findings: Findings) -> None:
    """Checks name, tags and notes, whose defaults do not determine their types."""
    name, tags, notes = (findings.values.get(key) for key in ("name", "tags", "notes"))
    if not str(name or "").strip():
        findings.add("name", "has no value: leave it out, or give a name")
    if tags is not None and not (isinstance(tags, list) and all(isinstance(tag, str | int | float) for tag in tags)):
        findings.add("tags", f"must be a list of names, as tags=[{tags if isinstance(tags, str) else 'baseline'}]")
    if not isinstance(notes, str | int | float | None):
        findings.add("notes", "must be text: put it in quotes, 'notes=…'")


def _needed(values: Mapping[str, Any]) -> Iterator[str]:
    """The required parts, which follow from the LightningModule's arguments."""
    yield from ("lightning_module", "trainer")
    module = values.get("lightning_module")
    try:
        target = find_target(module.get("_target_") if isinstance(module, Mapping) else None)
    except LookupError:  # reported by another check
        return
    is_class = inspect.isclass(target)  # what a function makes may have its own data
    if is_class and not is_overridden("train_dataloader", target, LightningModule):
        yield "datamodule"
    required = FOR_MODULE if is_class and issubclass(target, Procedure) else signature_of(target).required
    yield from (part for part in FOR_MODULE if part in required and takes(target, part))


def _check_keys(findings: Findings, values: Mapping[str, Any], known: Mapping[str, Any], prefix: str) -> None:
    whole = str(findings.raw)
    for key, value in values.items():
        if len(findings.lines) > ENOUGH:
            return
        path, default = f"{prefix}{key}", known.get(key)
        # A key of the user's own is valid if others refer to it.
        if key not in known and f"${{{path}" not in whole:
            findings.add(path, f"there is no such key; {nearest(key, known)}")
        elif isinstance(default, Mapping) and isinstance(value, Mapping):
            _check_keys(findings, value, default, f"{path}.")
            for missing in default.keys() - value.keys():
                findings.add(f"{path}.{missing}", "is missing")
        elif isinstance(default, bool | int | float) and isinstance(value, bool | int | float | str):
            check_hint(findings, path, value, type(default))
