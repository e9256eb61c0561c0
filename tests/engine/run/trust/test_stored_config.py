from pathlib import Path

import pytest
from omegaconf import OmegaConf

from engine.errors import UserError
from engine.run.trust.stored_config import read_run_config


def test_a_runs_own_config(run_dir: Path) -> None:
    assert read_run_config(run_dir, "resume=x") == OmegaConf.load(run_dir / "config.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "a: ${run_dir}/checkpoints",
        "run_dir: ${hydra:runtime.output_dir}",
        "datamodule: {data_dir: /home/me/data}",
        "features: {cache_dir: ../cache}",
        r"param_groups: [{pattern: 'norm\d\.bias$'}, {pattern: '^(a|b)'}, {pattern: '\.bias'}]",
        "compile: {fullgraph: true, backend: aot_eager}",
        "norm: {_target_: hydra.utils.get_class, path: torch.nn.BatchNorm2d}",
        "activation: {_target_: hydra.utils.get_method, path: torch.nn.functional.relu}",
        "a: 1e-3\nb: [null, true, .inf]\nc: ''",
    ],
)
def test_ordinary_values(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert read_run_config(tmp_path, "resume=x") == OmegaConf.create(text)


@pytest.mark.parametrize("value", ["/tmp", "null", "1", "[a]", "{a: b}"])
def test_a_run_lies_where_it_is_found(value: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"run_dir: {value}\n")
    with pytest.raises(UserError, match=r"run_dir=.* is not this directory's own"):
        read_run_config(tmp_path, "resume=x")


def test_no_config(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^resume=here: there is no config\.yaml"):
        read_run_config(tmp_path, "resume=here")
