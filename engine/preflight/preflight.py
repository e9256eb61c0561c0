"""Reports all mistakes in a config at once, before any data or weights are touched.

The rules come from the `_target_`s themselves: their signatures and annotations (signatures.py) and the errors of their
constructors (rehearsal.py); for root keys, from conf/train.yaml.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from omegaconf import DictConfig, OmegaConf
from typing_extensions import NotRequired, is_typeddict

from engine.build import CLASS_WEIGHTS, READ_HERE, follows_monitor
from engine.errors import UserError
from engine.paths import CONF
from engine.preflight.accelerators import has_no_gpu
from engine.preflight.findings import UNKNOWN, Findings, select
from engine.preflight.members import GIVEN_BY_CODE, check_kinds, check_members, check_progress_bars
from engine.preflight.other_choices import check_other_choices
from engine.preflight.rehearsal import rehearse
from engine.preflight.root import check_root
from engine.preflight.signatures import check_hint, described, signature_of, type_hints
from engine.preflight.targets import find_target
from engine.run.config_file import has_features, most_processes, usable_cores
from engine.run.refused import leave_refused
from engine.wording import missing_extra, nearest

PARTS = ("datamodule", "network", "loss", "lightning_module", "optimizer", "trainer")
"""Parts of a run with one `_target_` each; there can be several callbacks and loggers."""

READ_BY_CODE = {"network": READ_HERE, "loss": CLASS_WEIGHTS, "features": ("precision", "engine")}
"""Keys that engine/build.py removes before calling the `_target_`."""

INSTRUCTIONS = ("_target_", "_partial_", "_args_", "_convert_", "_recursive_")
"""Keys with a meaning to Hydra's `instantiate`."""

SIZES = ("num_classes", "d_in", "d_out")
"""Sizes that must be the same in all parts that have them."""


_faultless: set[str] = set()
"""Kinds of a sweep's jobs in which this process has found no mistakes."""


def preflight(cfg: DictConfig, swept: Mapping[str, Any] | None = None) -> None:
    """Raises UserError with all mistakes in the config of train.py; a new run's directory is removed (refused.py).

    Of a sweep's jobs that differ only in `swept` numbers, each process checks the first; the smallest and largest of
    these numbers were checked before the sweep began (engine/sweep/check.py).
    """
    kind = _kind(cfg, swept) if swept and not cfg.get("resume") else None
    if kind in _faultless:
        return
    findings = find_mistakes(cfg)
    if not findings.lines:
        _faultless.update(() if kind is None else [kind])
        return
    directory = findings.values.get("run_dir")
    if not findings.values.get("resume") and isinstance(directory, str):
        leave_refused(Path(directory), {"status": "failed", "error": f"UserError: {findings.message()}"})
    raise UserError(findings.message())


def _kind(cfg: DictConfig, swept: Mapping[str, Any]) -> str | None:
    """The config without the values of swept numbers; None if one of them is within a list."""
    kept: Any = OmegaConf.to_container(cfg, resolve=False)
    for key, value in swept.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            *folders, name = key.split(".")
            node = kept
            for folder in folders:
                node = node.get(folder) if isinstance(node, dict) else None
            if not isinstance(node, dict) or name not in node:
                return None
            node[name] = type(value).__name__
    return repr(kept)


def find_mistakes(cfg: DictConfig, *, elsewhere: bool = False) -> Findings:
    """The mistakes in a config of train.py with unresolved interpolations; for `elsewhere`, see Findings."""
    findings = Findings(cfg, elsewhere=elsewhere)
    if (findings.values.get("monitor") or {}).get(
        "metric"
    ) is None:  # engine/build.py leaves out callbacks that need one
        callbacks = findings.values.get("callback") or {}
        findings.values["callback"] = {name: callbacks[name] for name in callbacks if not follows_monitor(cfg, name)}
    check_root(findings)
    for path in _parts(findings.values):
        _check_is_target(findings, path)
    for path, node in _nodes(findings.values, ""):
        _check_node(findings, path, node)
    _check_scheduler(findings)
    _check_read_by_code(findings)
    _check_places(findings)
    _check_sizes(findings)
    if not findings.elsewhere:
        _check_processes(findings)
    check_kinds(findings)
    check_members(findings)
    check_progress_bars(findings)
    rehearse(findings)
    return findings


# Targets -------------------------------------------------------------------------------------------------------------


def _parts(values: Mapping[str, Any]) -> Iterator[str]:
    """The keys of all parts that must have a `_target_`."""
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
    check_other_choices(findings, path, [key for key in node if not signature.takes(key) and key not in given])
    for key, value in list(node.items()):
        if key in given:
            continue
        if key in signature.hints:
            # A null in a _partial_ may be filled in by its caller, which only gives an optimizer its parameters.
            if value is not None or not node.get("_partial_") or path == "optimizer":
                check_hint(findings, f"{path}.{key}", value, signature.hints[key])
        elif not signature.takes_others:
            names = [*signature.hints, *READ_BY_CODE.get(path, ())]
            findings.take_out(f"{path}.{key}", f"{name} takes no {key}; {nearest(key, names)}")
    if not node.get("_partial_") and "_args_" not in node:
        for key in signature.required:
            if key not in node and key not in given:
                findings.add(f"{path}.{key}", f"is missing: {name} needs {described(signature.hints[key])}")


def _check_scheduler(findings: Findings) -> None:
    """Checks `scheduler`, which is passed on as a mapping, against the procedure's annotation."""
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
            check_hint(findings, f"scheduler.{key}", value, hints[key])
    for key in hint.__required_keys__ - scheduler.keys():
        findings.add(f"scheduler.{key}", f"is missing: must be {described(hints[key])}")


def _check_read_by_code(findings: Findings) -> None:
    """Checks the keys that engine/build.py reads itself."""
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
        engine = findings.values["features"].get("engine", "torch")
        if engine not in ENGINES:
            findings.add("features.engine", f"must be one of {' | '.join(ENGINES)}")
        elif engine == "openvino" and not is_installed():
            findings.add("features.engine", f"needs the extra openvino: {INSTALL}, or give torch")


def _check_places(findings: Findings) -> None:
    """Checks that a run's files are saved where other commands look for them."""
    run_dir, callbacks = findings.values.get("run_dir"), findings.values.get("callback") or {}
    if not isinstance(run_dir, str):
        return
    places = {"trainer.default_root_dir": (run_dir, "is the run's directory: give hydra.run.dir instead")}
    for name in callbacks:
        if str(select(findings.values, f"callback.{name}._target_")).endswith(".LastCheckpoint"):
            reason = f"a run resumes from {run_dir}/checkpoints/last.ckpt: leave this out"
            places[f"callback.{name}.dirpath"] = f"{run_dir}/checkpoints", reason
    for path, (place, reason) in places.items():
        given = select(findings.values, path)
        if given is None or (isinstance(given, str) and Path(given).absolute() != Path(place).absolute()):
            findings.add(path, reason)


def _check_processes(findings: Findings) -> None:
    """Limits the number of processes to what the machine can run."""
    cores = usable_cores()
    limits = {"datamodule.num_workers": most_processes()}
    accelerator = select(findings.values, "trainer.accelerator")
    if accelerator == "cpu" or (accelerator == "auto" and has_no_gpu()):
        limits["trainer.devices"] = max(8, cores)
    for key, limit in limits.items():
        number = select(findings.values, key)
        number = int(number) if isinstance(number, str) and number.isdecimal() else number
        if isinstance(number, int) and number > limit:
            findings.add(key, f"must be at most {limit} here: each is a process, and this machine has {cores} cores")


def _check_sizes(findings: Findings) -> None:
    """Checks that the sizes of network and procedure match those of the data."""
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
