"""Settings that an experiment makes for its own choice of a group, and that another choice does not take."""

from collections.abc import Sequence

from hydra.utils import instantiate

from engine.preflight.chosen import choice, meant_for
from engine.preflight.findings import Findings, select
from engine.preflight.targets import find_target


def check_other_choices(findings: Findings, path: str, untaken: Sequence[str]) -> None:
    """Settings of the experiment for its own choice of a group, which the one on the command line does not take."""
    group = path.partition(".")[0]
    meant = {key: found for key in untaken if (found := meant_for(path, key))}
    if not meant:
        return
    file, own = next(iter(meant.values()))
    name, drop = choice(group), " ".join(f"~{path}.{key}" for key in meant)
    shape = _input_shape(findings) if group == "network" else None
    data = f", and the inputs of {choice('datamodule')} are of shape {shape}" if shape else ""
    findings.set_aside(
        path,
        [*meant],
        f"{group}={name}: takes no {', '.join(meant)}, which {file.parent.name}/{file.name} sets for {group}={own}"
        f"{data}: choose another {group}, or drop these settings: {drop}",
    )


def _input_shape(findings: Findings) -> tuple[int, ...] | None:
    """The shape of the data's inputs, if the datamodule knows it before it has read anything."""
    node = select(findings.values, "datamodule")
    try:
        if not isinstance(getattr(find_target(node["_target_"]), "input_shape", None), property):
            return None
        return tuple(instantiate(node, _convert_="all").input_shape)
    except Exception:  # other checks report what is wrong with it
        return None
