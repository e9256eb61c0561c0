"""Tells every mistake in a config at once, before data or weights are touched.

What is right is said nowhere but in the `_target_`s themselves, in their signatures and annotations (signatures.py) and
in what their constructors say (rehearsal.py), and for the root's keys in conf/train.yaml.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin

from lightning_fabric.utilities.seed import max_seed_value, min_seed_value
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.model_helpers import is_overridden
from typing_extensions import NotRequired, is_typeddict

from engine.build import CLASS_WEIGHTS, FOR_MODULE, READ_HERE, follows_monitor, takes
from engine.errors import UserError
from engine.paths import CONF
from engine.preflight.findings import UNKNOWN, Findings, is_known, select
from engine.preflight.members import GIVEN_BY_CODE, check_members, check_progress_bars
from engine.preflight.rehearsal import rehearse
from engine.preflight.signatures import choices_of, described, fits, signature_of, type_hints
from engine.preflight.targets import find_target
from engine.run.config_file import has_features, usable_cores
from engine.run.outcome import write_outcome
from engine.training.procedure import Procedure
from engine.wording import missing_extra, nearest

ENOUGH = 100
"""Mistakes after which no more are looked for."""

PARTS = ("datamodule", "network", "loss", "lightning_module", "optimizer", "trainer")
"""Parts of a run that are made from a `_target_`; callbacks and loggers are several."""

READ_BY_CODE = {"network": READ_HERE, "loss": CLASS_WEIGHTS, "features": ("precision", "engine")}
"""Keys that engine/build.py takes out before the `_target_` is called."""

INSTRUCTIONS = ("_target_", "_partial_", "_args_", "_convert_", "_recursive_")
"""Keys that are Hydra's."""

SIZES = ("num_classes", "d_in", "d_out")
"""What the parts of a run must agree upon, by the name that it has in all of them."""


_faultless: set[str] = set()
"""Kinds of a sweep's jobs that this process has found no mistakes in."""


def preflight(cfg: DictConfig, swept: Mapping[str, Any] | None = None) -> None:
    """Raises UserError with all mistakes of the config of train.py; a new run's metrics.json then has them too.

    Of a sweep's jobs that differ in `swept` numbers alone, a process looks at the first: the ends of these numbers were
    looked at before the sweep began (engine/sweep/check.py).
    """
    kind = _kind(cfg, swept) if swept and not cfg.get("resume") else None
    if kind in _faultless:
        return
    findings = find_mistakes(cfg)
    if not findings.lines:
        _faultless.update(() if kind is None else [kind])
        return
    directory = findings.values.get("run_dir")
    if not findings.values.get("resume") and isinstance(directory, str) and Path(directory).is_dir():
        failed = {"status": "failed", "error": f"UserError: {findings.message()}"}
        write_outcome(Path(directory), failed)
    raise UserError(findings.message())


def _kind(cfg: DictConfig, swept: Mapping[str, Any]) -> str:
    """The config without the values of swept numbers."""
    kept: Any = OmegaConf.to_container(cfg, resolve=False)
    for key, value in swept.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            *folders, name = key.split(".")
            node = kept
            for folder in folders:
                node = node[folder]
            node[name] = type(value).__name__
    return repr(kept)


def find_mistakes(cfg: DictConfig) -> Findings:
    """What is wrong with a config of train.py, its interpolations not resolved yet."""
    findings = Findings(cfg)
    if (findings.values.get("monitor") or {}).get("metric") is None:  # engine/build.py makes none that need one
        callbacks = findings.values.get("callback") or {}
        findings.values["callback"] = {name: callbacks[name] for name in callbacks if not follows_monitor(cfg, name)}
    _check_root(findings)
    for path in _parts(findings.values):
        _check_is_target(findings, path)
    for path, node in _nodes(findings.values, ""):
        _check_node(findings, path, node)
    _check_scheduler(findings)
    _check_read_by_code(findings)
    _check_sizes(findings)
    _check_processes(findings)
    check_members(findings)
    check_progress_bars(findings)
    rehearse(findings)
    return findings


# The root ------------------------------------------------------------------------------------------------------------


def _check_root(findings: Findings) -> None:
    """Unknown and missing keys, and the types of those that belong to no part, as conf/train.yaml has them."""
    known = OmegaConf.to_container(OmegaConf.load(CONF / "train.yaml"))
    assert isinstance(known, dict)
    own = {str(key): value for key, value in known.items() if key not in ("defaults", "hydra")}
    groups = [path.name for path in CONF.iterdir() if path.is_dir()]
    for group in _needed(findings.values):
        if findings.values.get(group) is None:
            choices = [path.stem for path in (CONF / group).glob("*.yaml")]
            findings.add(group, f"a run needs one: give {group}=NAME; {nearest('', choices)}")
    # What a group holds, its own check says.
    _check_keys(findings, findings.values, own | dict.fromkeys([*groups, "features"]), "")
    seed = findings.values.get("seed")
    if isinstance(seed, int) and not min_seed_value <= seed <= max_seed_value:
        findings.add("seed", f"must be a whole number from {min_seed_value} to {max_seed_value:,}")
    _check_names(findings)
    if findings.raw.get("run_dir") != own["run_dir"]:
        findings.add("run_dir", "follows hydra.run.dir: give that instead")


def _check_names(findings: Findings) -> None:
    """What a run is called; keys whose default says nothing of their kind."""
    name, tags, notes = (findings.values.get(key) for key in ("name", "tags", "notes"))
    if not str(name or "").strip():
        findings.add("name", "has no value: leave it out, or give the run a name")
    if tags is not None and not (isinstance(tags, list) and all(isinstance(tag, str | int | float) for tag in tags)):
        findings.add("tags", f"must be a list of names, as tags=[{tags if isinstance(tags, str) else 'baseline'}]")
    if not isinstance(notes, str | int | float | None):
        findings.add("notes", "must be text: put it in quotes, 'notes=…'")


def _needed(values: Mapping[str, Any]) -> Iterator[str]:
    """The parts that a run cannot do without: a LightningModule's own arguments say what it needs."""
    yield from ("lightning_module", "trainer")
    module = values.get("lightning_module")
    try:
        target = find_target(module.get("_target_") if isinstance(module, Mapping) else None)
    except LookupError:  # its own check says so
        return
    if not is_overridden("train_dataloader", target, LightningModule):
        yield "datamodule"
    required = FOR_MODULE if issubclass(target, Procedure) else signature_of(target).required
    yield from (part for part in FOR_MODULE if part in required and takes(target, part))


def _check_keys(findings: Findings, values: Mapping[str, Any], known: Mapping[str, Any], prefix: str) -> None:
    whole = str(findings.raw)
    for key, value in values.items():
        if len(findings.lines) > ENOUGH:
            return
        path, default = f"{prefix}{key}", known.get(key)
        # A key that others refer to serves its purpose.
        if key not in known and f"${{{path}" not in whole:
            findings.add(path, f"there is no such key; {nearest(key, known)}")
        elif isinstance(default, Mapping) and isinstance(value, Mapping):
            _check_keys(findings, value, default, f"{path}.")
            for missing in default.keys() - value.keys():
                findings.add(f"{path}.{missing}", "is missing")
        elif isinstance(default, bool | int | float) and isinstance(value, bool | int | float | str):
            _check_hint(findings, path, value, type(default))


# Targets -------------------------------------------------------------------------------------------------------------


def _parts(values: Mapping[str, Any]) -> Iterator[str]:
    """The keys of what is made from a `_target_`."""
    yield from (part for part in PARTS if values.get(part) is not None)
    for group in ("callback", "logger"):
        members = values.get(group)
        yield from (f"{group}.{name}" for name in members or ()) if isinstance(members, Mapping | None) else [group]


def _check_is_target(findings: Findings, path: str) -> None:
    value = select(findings.values, path)
    if isinstance(value, Mapping) and "_target_" in value:
        if missing := missing_extra(value["_target_"]):
            findings.add(path, missing)
        return
    group, _, name = path.partition(".")
    named = [path.stem for path in (CONF / group).glob("*.yaml")] if name else []
    findings.add(path, "has no _target_" + (f"; {nearest(name, named)}" if name else ""))


def _nodes(values: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping with a `_target_`, with its key."""
    if isinstance(values, Mapping):
        if "_target_" in values:
            yield path, values
        for key, value in values.items():
            yield from _nodes(value, f"{path}.{key}" if path else key)
    elif isinstance(values, list):
        for index, value in enumerate(values):
            yield from _nodes(value, f"{path}[{index}]")


def _check_node(findings: Findings, path: str, node: Mapping[str, Any]) -> None:
    name = node["_target_"]
    try:
        signature = signature_of(find_target(name))
    except LookupError as error:
        findings.add(f"{path}._target_", str(error.args[0]))
        return
    given = (*GIVEN_BY_CODE.get(path, ()), *READ_BY_CODE.get(path, ()), *INSTRUCTIONS)
    for key, value in list(node.items()):
        if key in given:
            continue
        if key in signature.hints:
            # What a _partial_ has as null is filled in by whoever calls it.
            if value is not None or not node.get("_partial_"):
                _check_hint(findings, f"{path}.{key}", value, signature.hints[key])
        elif not signature.takes_others:
            names = [*signature.hints, *READ_BY_CODE.get(path, ())]
            findings.take_out(f"{path}.{key}", f"{name} takes no {key}; {nearest(key, names)}")
    if not node.get("_partial_") and "_args_" not in node:
        for key in signature.required:
            if key not in node and key not in given:
                findings.add(f"{path}.{key}", f"is missing: {name} needs {described(signature.hints[key])}")


def _check_hint(findings: Findings, path: str, value: Any, hint: Any) -> None:
    if not is_known(value) or fits(value, hint):
        return
    near = get_close_matches(str(value), choices_of(hint), n=1)
    findings.add(path, f"must be {described(hint)}" + (f"; did you mean {near[0]}?" if near else ""))


def _check_scheduler(findings: Findings) -> None:
    """The group that is handed over as it is: a mapping whose keys the procedure's annotation names."""
    module, scheduler = (findings.values.get(name) for name in ("lightning_module", "scheduler"))
    hint: Any
    if not isinstance(module, Mapping) or not isinstance(scheduler, Mapping):
        return
    try:
        hint = signature_of(find_target(module.get("_target_"))).hints.get("scheduler")
    except LookupError:
        return
    if not is_typeddict(hint):
        return
    hints = {key: get_args(h)[0] if get_origin(h) is NotRequired else h for key, h in type_hints(hint).items()}
    for key, value in scheduler.items():
        if key not in hints:
            findings.add(f"scheduler.{key}", f"there is no such key; {nearest(key, hints)}")
        else:
            _check_hint(findings, f"scheduler.{key}", value, hints[key])
    for key in hint.__required_keys__ - scheduler.keys():
        findings.add(f"scheduler.{key}", f"is missing: must be {described(hints[key])}")


def _check_read_by_code(findings: Findings) -> None:
    """What engine/build.py does with the keys that it takes out."""
    substitute = select(findings.values, "network.substitute")
    networks = [path.stem for path in (CONF / "network").glob("*.yaml")]
    if substitute not in (UNKNOWN, None, *networks):
        findings.add("network.substitute", f"there is no such network; {nearest(str(substitute), networks)}")
    if has_features(findings.values):
        from engine.features.frozen import PRECISIONS  # with timm, which those features need
        from engine.features.openvino_engine import ENGINES, INSTALL, is_installed

        precision = str(select(findings.values, "features.precision"))
        if precision not in PRECISIONS:
            findings.add("features.precision", f"must be one of {' | '.join(PRECISIONS)}")
        engine = select(findings.values, "features.engine") or "torch"
        if engine not in ENGINES:
            findings.add("features.engine", f"must be one of {' | '.join(ENGINES)}")
        elif engine == "openvino" and not is_installed():
            findings.add("features.engine", f"needs the extra openvino: {INSTALL}, or give torch")


def _check_processes(findings: Findings) -> None:
    """As many as asked for are started, whether or not the machine can bear them."""
    cores = usable_cores()
    limits = {"datamodule.num_workers": max(64, 4 * cores)}
    if select(findings.values, "trainer.accelerator") == "cpu":
        limits["trainer.devices"] = max(8, cores)
    for key, limit in limits.items():
        number = select(findings.values, key)
        number = int(number) if isinstance(number, str) and number.isdecimal() else number
        if isinstance(number, int) and number > limit:
            findings.add(key, f"must be at most {limit} here: each is a process, and this machine has {cores} cores")


def _check_sizes(findings: Findings) -> None:
    """What the network takes and gives is what the data and the procedure have."""
    data, network, module = (
        {size: select(findings.values, f"{part}.{size}") for size in SIZES}
        for part in ("datamodule", "network", "lightning_module")
    )
    for part, sizes in (("network", network), ("lightning_module", module)):
        for name, size in sizes.items():
            if UNKNOWN not in (size, data[name]) and size != data[name]:
                findings.add(f"{part}.{name}", f"does not fit the data, whose datamodule.{name} is {data[name]}")
    outputs, classes = network["d_out"], module["num_classes"]
    if network["num_classes"] is UNKNOWN and UNKNOWN not in (outputs, classes) and outputs != classes:
        findings.add("network.d_out", f"does not fit lightning_module.num_classes, which is {classes}")
