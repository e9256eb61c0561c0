from pathlib import Path

import pytest
import torch

from engine.preflight.targets import find_target
from functional.schedules import triangular


def test_classes_and_functions() -> None:
    assert find_target("torch.optim.SGD") is torch.optim.SGD
    assert find_target("functional.schedules.triangular") is triangular
    assert find_target("pathlib.Path.write_text") is Path.write_text


def test_modules_are_imported_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "net.py").write_text("class Net: ...\n")
    (tmp_path / "own_package" / "broken.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_target("own_package.net.Net").__name__ == "Net"
    with pytest.raises(LookupError, match=r"own_package\.broken cannot be imported: No module named 'no_such_package'"):
        find_target("own_package.broken.Net")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("networks.lenet.LeNett", r"networks\.lenet has no LeNett; did you mean LeNet\?"),
        ("networks.lenett.LeNet", r"networks has no lenett; did you mean lenet\?"),
        ("no_such_package.Net", "there is no package no_such_package"),
        ("torch.optim", "is neither a class nor a function"),
        ("torch.optim.SGD.no", "has no no"),
        ("SGD", "must be the dotted name"),
        (3, "must be the dotted name"),
        (None, "must be the dotted name"),
    ],
)
def test_what_is_not_there(name: object, says: str) -> None:
    with pytest.raises(LookupError, match=says):
        find_target(name)
