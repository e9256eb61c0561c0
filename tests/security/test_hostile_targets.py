"""Targets of strangers' configs: each one is refused in a sentence that names it, and nothing of it is executed.

What would be executed makes a file, the canary.
"""

from pathlib import Path

import pytest

from tests.security.canary import assert_refused

CALLS = {
    # Those that Hydra's own blocklist lets through.
    "torch.hub.load": "{repo_or_dir: DIR, model: make, source: local, trust_repo: true}",
    "torch.load": "{f: DIR/evil.pt, weights_only: false}",
    "numpy.load": "{file: DIR/evil.npy, allow_pickle: true}",
    "pathlib.Path.write_text": "{_args_: [{_target_: pathlib.Path, _args_: [CANARY]}, x]}",
    "builtins.open": "{file: CANARY, mode: w}",
    # The usual ones.
    "os.system": "{command: touch CANARY}",
    "posix.system": "{command: touch CANARY}",
    "subprocess.Popen": "{args: [touch, CANARY]}",
    "builtins.eval": '{_args_: [\'open("CANARY", "w")\']}',
    "builtins.exec": '{_args_: [\'open("CANARY", "w")\']}',
    "importlib.import_module": "{name: evil}",
    "runpy.run_path": "{path_name: DIR/evil.py}",
    "pickle.load": "{file: {_target_: builtins.open, file: DIR/evil.pt, mode: rb}}",
    "shutil.copy": "{src: DIR/evil.py, dst: CANARY}",
    "evil.Net": "{}",
    "tests.conftest.run_script": "{script: x}",
    "engine.paths.replace_text": "{path: {_target_: pathlib.Path, _args_: [CANARY]}, text: x}",
    # Functions that call or import whatever they are given.
    "hydra.utils.instantiate": "{config: {_target_: os.system, command: touch CANARY}}",
    "hydra.utils.call": "{config: {_target_: os.system, command: touch CANARY}}",
    "hydra.utils.get_method": "{path: os.system}",
    "hydra.utils.get_object": "{path: torch.nn.functional.importlib}",
    "hydra.utils.get_static_method": "{_args_: [torch.load]}",
    "hydra.utils.get_class": "{path: {_target_: evil.Net}}",
    "hydra._internal.utils._locate": "{path: evil.Net}",
    "functools.partial": "{_args_: [{_target_: hydra.utils.get_method, path: os.system}, touch CANARY]}",
    "omegaconf.OmegaConf.register_new_resolver": "{name: x, resolver: {_target_: evil.Net}}",
    "timm.create_model": "{model_name: 'local-dir:DIR', pretrained: true}",
    "pytorch_lightning.cli.LightningCLI": "{args: [fit]}",
    "pytorch_lightning.core.saving.load_hparams_from_yaml": "{config_yaml: DIR/evil.yaml}",
    "pytorch_lightning.utilities.upgrade_checkpoint.main": "{}",
    "pytorch_lightning.demos.mnist_datamodule.MNISTDataModule": "{data_dir: DIR}",
    "torch.jit.load": "{f: DIR/evil.pt}",
    "torch.utils.cpp_extension.load": "{name: evil, sources: [DIR/evil.cpp]}",
    "torch.package.PackageImporter": "{file_or_buffer: DIR/evil.pt}",
    # A listed package as the way to another.
    "torch.nn.modules.module.torch.load": "{f: evil.pt, weights_only: false}",
    "torch.nn.functional.torch.hub.load": "{repo_or_dir: '${run_dir}', model: make, source: local, trust_repo: true}",
    "torch.optim.optimizer.torch.load": "{f: evil.pt, weights_only: false}",
    "pytorch_lightning.callbacks.model_checkpoint.os.system": "{command: touch CANARY}",
    "pytorch_lightning.Trainer.fit": "{}",
    "pytorch_lightning.loggers.csv_logs.os.system": "{command: touch CANARY}",
    "torchvision.transforms.functional.sys.exit": "{}",
    "engine.downloads.download.Path.write_text": "{_args_: [canary, x]}",
    "datamodules.image_folder.torch.load": "{f: evil.pt, weights_only: false}",
    "networks.timm.timm.create_model": "{model_name: evil, pretrained: true}",
    "engine.sweep.search.pruning.optuna.load_study": "{}",
    # Listed packages' things that make nothing an experiment is made of, and methods.
    "engine.downloads.download.download": "{url: evil.py, target: canary, sha256: x, size: 1}",
    "engine.downloads.archive.extract_zip": "{archive: evil.zip, dest: x, folder: canary}",
    "engine.files.new_folder": "{target: canary}",
    "networks.pretrained.require_reachable": "{url: evil.py}",
    "engine.training.initialization.INITIALIZERS": "{}",
    "lightning_modules.classifier.Classifier.load_from_checkpoint": "{checkpoint_path: evil.pt}",
    "torch.nn.Module.apply": "{}",
    "torch.nn.functional.relu": "{input: 1}",
    "torch.nn.utils.skip_init": "{module_cls: {_target_: evil.Net, _partial_: true}}",
    "torch.nn": "{}",
    "networks": "{}",
    # Private ones, and names that are none.
    "torch.nn._reduction.get_enum": "{reduction: mean}",
    "torch.nn.modules.__builtins__.eval": "{}",
    "torch.nn.Module.__init_subclass__": "{}",
    "torch.nn.__loader__.load_module": "{}",
    "torch.nnx.ReLU": "{}",
    "networks_of_mine.Net": "{}",
    "TORCH.nn.ReLU": "{}",
    "t\u043erch.nn.ReLU": "{}",  # a Cyrillic o
    "torch.nn..ReLU": "{}",
    ".torch.nn.ReLU": "{}",
    "torch.nn.ReLU ": "{}",
    "torch.nn.ReLU\\n": "{}",
    "torch.nn.NoSuchThing": "{}",
    "networks.no_such_file.Net": "{}",
}

PLACES = {
    "a part": "network: HOSTILE",
    "a callback": "callback: {best_checkpoint: HOSTILE}",
    "a list": "datamodule: {train_transform: {_target_: torchvision.transforms.v2.Compose, transforms: [HOSTILE]}}",
    "a list in a list": "a: [[[HOSTILE]]]",
    "a partial": "optimizer: {_target_: torch.optim.SGD, _partial_: true, lr: HOSTILE}",
    "positional": "network: {_target_: torch.nn.Sequential, _args_: [HOSTILE]}",
    "a key nobody reads": "note: {note: HOSTILE}",
    "behind a _target_ that is listed": "trainer: {_target_: pytorch_lightning.Trainer, profiler: HOSTILE}",
}


@pytest.mark.parametrize("target", CALLS)
def test_hostile_targets(target: str, canary: Path) -> None:
    settings = CALLS[target]
    hostile = f'{{_target_: "{target}"{", " if settings != "{}" else ""}{settings[1:]}'
    assert_refused(f"network: {hostile}", canary, r"(_target_|path)=")


@pytest.mark.parametrize("place", PLACES)
def test_wherever_a_target_is(place: str, canary: Path) -> None:
    hostile = PLACES[place].replace("HOSTILE", "{_target_: evil.Net}")
    assert_refused(hostile, canary, r"_target_=evil\.Net is not allowed")


def test_a_hostile_target_keeps_the_others_from_being_looked_at(canary: Path) -> None:
    """The listed one, which would be imported, comes first and does not exist."""
    text = "a: {_target_: networks.no_such_file.Net}\nb: {_target_: evil.Net}"
    assert_refused(text, canary, r"b\._target_=evil\.Net is not allowed")
