"""A run's config may link a key to a few plain settings, which are judged by where they are used."""

from pathlib import Path

import pytest

from engine.errors import UserError
from engine.run.trust.stored_config import read_run_config
from tests.conftest import Train

SETTINGS = "compile: {fullgraph: true, backend: aot_eager}\n"


def read(text: str, folder: Path) -> None:
    (folder / "config.yaml").write_text(text)
    read_run_config(folder, "resume=x")


def test_settings_that_are_linked(tmp_path: Path) -> None:
    read(f"{SETTINGS}lightning_module: {{compile: '${{compile}}'}}", tmp_path)


def test_a_run_with_such_settings_is_resumed(train_here: Train, tmp_path: Path) -> None:
    """As those of experiment=regression_static_graph have."""
    given = ("compile={fullgraph: true, backend: eager}", "trainer=cpu", "trainer.max_epochs=1")
    run = train_here(tmp_path, "experiment=regression_two_layer_net", *given)
    assert train_here(tmp_path, f"resume={run}", "trainer.max_epochs=2") == run


@pytest.mark.parametrize(
    "text",
    [
        "a: {save_dir: /any}\nlogger: {x: '${a}'}",
        "a: {options: x}\ncompile: '${a}'",
        "a: {b: '${a}'}\nc: '${a}'",
        "a: {b: {c: d}}\nx: '${a}'",
        "a: [1, 2]\nx: '${a}'",
        f"a: {{{', '.join(f'k{number}: 1' for number in range(99))}}}\nx: '${{a}}'",
        "a: {b: c}\nx: 'to ${a}'",
    ],
)
def test_links_to_anything_else(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^[^\n]*config\.yaml: [^\n]*$"):
        read(text, tmp_path)


def test_a_zero_byte(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"logger\.x\.name=.* contains a zero byte"):
        read('logger: {x: {name: "a\\0b"}}', tmp_path)
