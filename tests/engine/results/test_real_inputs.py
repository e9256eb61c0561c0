from pathlib import Path

import torch

from engine.results.preprocessing import real_inputs
from engine.run.trained import load_trained
from tests.conftest import Train


def test_validation_photos_as_the_network_gets_them(run_dir: Path) -> None:
    from hydra.utils import instantiate

    trained = load_trained(run_dir, "best", ["datamodule.mean=[0.5,0.5,0.5]", "datamodule.std=[0.25,0.25,0.25]"])
    inputs = real_inputs(trained, 5)
    assert inputs.name == "5 validation inputs of hymenoptera (local)"
    datamodule = instantiate(trained.config.datamodule)
    datamodule.setup("fit")
    expected = (datamodule.images("val", range(5)) - 0.5) / 0.25
    torch.testing.assert_close(inputs.values, expected)


def test_images_in_memory(train_here: Train, tmp_path: Path) -> None:
    directory = train_here(tmp_path, "experiment=lenet_nll", "debug=fast", "trainer=cpu")
    inputs = real_inputs(load_trained(directory, "best"), 1000)
    assert inputs.values.shape == (180, 1, 32, 32)
    assert inputs.name == "180 validation inputs of digits (official)"


def test_noise_where_the_data_is_not_at_hand_and_none_is_fetched(run_dir: Path, tmp_path: Path) -> None:
    trained = load_trained(run_dir, "best", [f"datamodule.data_dir={tmp_path}"])
    inputs = real_inputs(trained, 4)
    assert inputs.name == "4 inputs of noise (the run's data is not available)"
    assert inputs.values.shape == (4, 3, 64, 64)
    assert 0 <= inputs.values.min() < 0.01
    assert 0.99 < inputs.values.max() <= 1
    assert not list(tmp_path.iterdir())
