"""Runs from Python: the README's lines, and what they may be given."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine import UserError, load_run, train
from tests.conftest import ROOT, only_run

SHORT = '"trainer=cpu", "trainer.max_epochs=1", "callback=[plain]"'


@pytest.fixture(scope="module")
def readme(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the README's lines leave behind, of one epoch."""
    (lines,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    folder, names = tmp_path_factory.mktemp("readme"), {}
    Image.fromarray(np.arange(3 * 30 * 40, dtype=np.uint32).astype(np.uint8).reshape(30, 40, 3)).save(
        folder / "photo.png"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(lines.replace('"seed=1"', f'"seed=1", {SHORT}').replace("photo.jpg", "photo.png"), names)
        names["directory"] = only_run(folder)
    return names | {"folder": folder}


def test_the_readmes_lines(readme: dict[str, Any]) -> None:
    run = readme["run"]
    assert run.directory == readme["directory"]
    assert (run.config.seed, run.metrics["epochs"], run.metrics["status"]) == (1, 1, "completed")
    assert not run.network.training
    assert len(run.datamodule().splits["val"][0]) == 180
    assert (run.directory / "train.log").is_file()


def test_a_photo_is_the_same_however_it_is_given(readme: dict[str, Any]) -> None:
    path = readme["folder"] / "photo.png"
    run = load_run(readme["directory"])
    expected = run.predict(path)
    assert sum(expected.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert expected.probabilities[expected.label] == max(expected.probabilities.values())
    image = Image.open(path)
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    for given in (str(path), image, np.array(image), tensor, tensor / 255):
        assert run.predict(given) == expected
    assert run.predict([path, image]) == [expected, expected]
    (readme["folder"] / "photos").mkdir()
    image.save(readme["folder"] / "photos" / "photo.png")
    assert run.predict(readme["folder"] / "photos") == [expected]
    assert run.predict([]) == []


@pytest.mark.parametrize("given", [3, np.zeros((4, 4, 3)), torch.zeros(4, 4), torch.full((3, 4, 4), 7.0), None])
def test_what_is_no_photo(given: Any, readme: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="predict takes a path, a PIL image, an array"):
        load_run(readme["directory"]).predict(given)


def test_again_in_one_process_and_resumed(readme: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """One-hot regressions are no logits: their probabilities come from the outputs themselves."""
    monkeypatch.chdir(readme["folder"])
    run = train(["experiment=lenet_mse", *SHORT.replace('"', "").split(", ")])
    assert run.config.name == "lenet_mse"
    photo = torch.rand(3, 32, 32)
    outputs = run.network(run._transform((photo * 255).round().byte())[None] / 255)[0].clamp(0, 1)
    shares = list(run.predict(photo).probabilities.values())
    assert shares == pytest.approx((outputs / outputs.sum()).tolist(), abs=1e-4)
    more = train([f"resume={run.directory}", "trainer.max_epochs=2"])
    assert (more.directory, more.metrics["epochs"]) == (run.directory, 2)


def test_mistakes_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"did you mean lenet_nll\?"):
        train(["experiment=lenet_nl"])
    with pytest.raises(UserError, match="start sweeps"):
        train(["-m", "seed=1,2"])
    assert not list(tmp_path.iterdir())
