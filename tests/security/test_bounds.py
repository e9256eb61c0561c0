"""Numbers in a stranger's files that would have a run start, count or hold more than a machine can.

A failure shows by a test that takes longer than its few seconds, or by no refusal.
"""

import io
import math
import os
import re
import resource
import time
import zipfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from engine.checkpoints.architecture import saved_shapes, steps_of
from engine.checkpoints.checkpoint_io import load_checkpoint
from engine.checkpoints.content import require_shape
from engine.errors import UserError
from engine.pages.curves import read_logged
from engine.preflight.preflight import find_mistakes
from engine.report.settings import config_dirs_of, overrides_of
from engine.run.trust.plain_yaml import load_plain_yaml
from engine.run.trust.stored_config import read_run_config
from engine.sweep import check
from engine.sweep.launchers import JoblibLauncher
from tests.conftest import ROOT, Compose
from tests.security.test_hostile_checkpoints import checkpoint, write


@pytest.fixture(autouse=True)
def few_seconds() -> Iterator[None]:
    started = time.process_time()
    yield
    assert time.process_time() - started < 20


@pytest.mark.parametrize("number", [-1, -(10**9), 1 << 60])
@pytest.mark.parametrize(
    "path", ["epoch_progress.total.ready", "epoch_progress.current.completed", "epoch_loop.batch_progress.total.ready"]
)
def test_counters_of_loops(path: str, number: int, run_dir: Path) -> None:
    file = run_dir / "checkpoints" / "last.ckpt"
    content = load_checkpoint(file)
    require_shape(content, file, to_resume=True)
    node: Any = content["loops"]["fit_loop"]
    for part in ("epoch_loop.batch_progress",) if "batch" in path else ("epoch_progress",):
        node = node[part]
    *parents, last = path.split(".")[-2:]
    node[parents[0]][last] = number
    with pytest.raises(UserError, match="refused: its part loops"):
        require_shape(content, file, to_resume=True)


@pytest.mark.parametrize("given", ["trainer.devices=1000", "datamodule.num_workers=100000"])
def test_processes(given: str, compose: Compose, tmp_path: Path) -> None:
    lines = find_mistakes(compose("experiment=transfer_finetune", "trainer=cpu", given, run_dir=tmp_path)).lines
    assert "each is a process, and this machine has" in lines[given.partition("=")[0]]


def test_many_unknown_keys(compose: Compose, tmp_path: Path) -> None:
    cfg = compose("experiment=lenet_nll", "trainer=cpu", run_dir=tmp_path)
    cfg = DictConfig({**{f"key{number}": 1 for number in range(9_000)}, **cfg})
    assert "mistakes" in find_mistakes(cfg).message()


def test_links_that_grow(tmp_path: Path) -> None:
    letters = "abcdef"
    lines = [f"{one}: '{f'${{{other}}}' * 1000}'" for one, other in pairwise(letters)]
    (tmp_path / "config.yaml").write_text("\n".join([*lines, "f: x"]))
    with pytest.raises(UserError, match="becomes longer, by its links"):
        read_run_config(tmp_path, "resume=x")


def shared() -> Any:
    """A list that stands for 2⁶⁰ of itself."""
    node: Any = ["a"]
    for _ in range(60):
        node = [node, node]
    return node


def circle() -> Any:
    node: Any = {}
    node["a"] = [node]
    return node


def deep(levels: int) -> Any:
    node: Any = 1
    for _ in range(levels // 2):
        node = {"a": [node]}
    return node


STRUCTURES: dict[str, tuple[Callable[[], Any], str]] = {
    "shared": (shared, "more entries, or deeper ones"),
    "a circle": (circle, "more entries, or deeper ones"),
    "deep": (lambda: deep(300), "more entries, or deeper ones"),
    "a number of thousands of digits": (lambda: 10**6000, "something other than tensors and plain values"),
    "half a character": (lambda: "\ud800", "a string in it is not valid text"),
}


@pytest.mark.parametrize("part", ["callbacks", "hyper_parameters", "state_dict"])
@pytest.mark.parametrize("kind", STRUCTURES)
def test_structures_of_a_checkpoint(kind: str, part: str, tmp_path: Path) -> None:
    make, says = STRUCTURES[kind]
    write(tmp_path / "checkpoints" / "last.ckpt", checkpoint({"state_dict": {}, part: {"a": {"b": make()}}}))
    with pytest.raises(UserError, match=f"refused: .*{says}"):
        load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    assert not saved_shapes(tmp_path / "checkpoints", "last.ckpt")


def test_lists_that_are_shared_a_little_are_a_runs(tmp_path: Path) -> None:
    names = os.fsdecode(b"caf\xe9")
    content = {"state_dict": {}, "hyper_parameters": {"a": [names], "b": [[names] * 1000] * 1000, "c": 1 << 128}}
    path = write(tmp_path / "last.ckpt", checkpoint(content))
    assert load_checkpoint(path)["hyper_parameters"] == content["hyper_parameters"]


def test_an_archive_that_unpacks_to_more_is_not_looked_into(tmp_path: Path) -> None:
    """As for the shapes of its layers, before it is loaded."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(checkpoint({"state_dict": {}}))) as before, zipfile.ZipFile(packed, "w") as after:
        for entry in before.infolist():
            content = before.read(entry)
            if entry.filename.endswith("data.pkl"):
                content = content.replace(b"}", b"}" + b"X\xff\xff\xff\x0f" + bytes(0x0FFFFFFF) + b"0", 1)
            after.writestr(entry.filename, content, zipfile.ZIP_DEFLATED)
    write(tmp_path / "last.ckpt", packed.getvalue())
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert saved_shapes(tmp_path, "last.ckpt") is None
    assert steps_of(tmp_path / "last.ckpt") == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 100_000  # KiB


DEEP = {"lists": "[" * 100_000, "blocks": "- " * 100_000, "keys": "? " * 100_000, "mappings": "{a: " * 50_000}


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize("name", ["overrides.yaml", "hydra.yaml"])
def test_depth_of_hydras_records(name: str, kind: str, tmp_path: Path) -> None:
    """Read by libyaml's own loader, they would end the process."""
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / name).write_text(DEEP[kind])
    assert overrides_of(tmp_path) == []
    assert config_dirs_of(tmp_path) == []


@pytest.mark.parametrize("text", [*DEEP.values(), "a: &a [x]\nb: *a", "a: [", "\x00", "!!python/name:os.system"])
def test_yaml_that_no_run_writes(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        load_plain_yaml(text)


def test_yaml_is_loaded_by_one_module() -> None:
    """It looks at the depth first."""
    loading = re.compile(r"yaml\.(load|safe_load|parse)\(")
    found = {path.name for path in (ROOT / "engine").rglob("*.py") if loading.search(path.read_text())}
    own = {"completion.py", "page.py", "chosen.py"}  # they load the project's and the user's own
    assert found == {"plain_yaml.py"} | own


CURVES: dict[str, Callable[[Path], Any]] = {
    "a field without an end": lambda run: rows(run, f"1,{'a' * 200_000},1"),
    "a null byte": lambda run: rows(run, "1,a\0b,1"),
    "a step that is no position": lambda run: rows(run, f"{'9' * 400},val/loss,1", f"-{'9' * 18},val/loss,1"),
    "thousands of names": lambda run: rows(run, *(f"{number % 7},val/t{number},1" for number in range(100_000))),
    "millions of rows": lambda run: rows(run, *["1,val/acc,1"] * 4_000_000),
    "files of zeros": lambda run: [zeros(run / f"events.out.tfevents.{number}.x") for number in range(9)],
}


def rows(run: Path, *lines: str) -> None:
    (run / "metrics.csv").write_text("\n".join(["step,name,value", "1,val/loss,0.5", *lines]))


def zeros(file: Path) -> None:
    file.touch()
    os.truncate(file, (1 << 28) - 1)


@pytest.mark.parametrize("kind", CURVES)
def test_curves(kind: str, tmp_path: Path) -> None:
    CURVES[kind](tmp_path)
    logged = read_logged(tmp_path)
    assert len(logged.curves) <= 5_000
    steps = [step for curve in logged.curves.values() for step in curve]
    assert all(math.isfinite(float(step)) for step in steps)
    if "zeros" not in kind:
        assert logged.curves["val/loss"] == {1: 0.5}


@pytest.mark.parametrize("given", ["optimizer.lr=shuffle(range(0,1000000000000))", "seed=shuffle(range(0,1,1e-300))"])
def test_jobs_in_any_order(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    monkeypatch.setattr(check, "_overrides", lambda config: OverridesParser.create().parse_overrides([given]))
    with pytest.raises(UserError, match="more than 100,000 jobs"):
        check.planned_jobs(OmegaConf.create({}))


def test_jobs_at_once() -> None:
    with pytest.raises(UserError, match=r"hydra\.launcher\.n_jobs=100000: must be at most"):
        JoblibLauncher(n_jobs=100_000).launch([[]] * 100_000, 0)


def test_jobs_of_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    given = OverridesParser.create().parse_overrides(["seed=range(0,1000000000)", "optimizer.lr=1,2"])
    monkeypatch.setattr(check, "_overrides", lambda config: given)
    with pytest.raises(UserError, match="more than 100,000 jobs"):
        check.planned_jobs(OmegaConf.create({}))
