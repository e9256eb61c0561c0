"""Configs of strangers' runs: each one is refused in a sentence that names it, and nothing of it is executed.

What would be executed makes a file, the canary.
"""

import re
import sys
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.run.trust.allowlist import read_run_config
from engine.run.trust.locations import check_arguments

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
    # Those that call what they are told to.
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

OTHERS = {
    "a target that is no text": ("network: {_target_: [os, system]}", "network._target_=[os,system] is not allowed"),
    "a target that is a mapping": ("network: {_target_: {_target_: os.system}}", "network._target_={…} is not allowed"),
    "a target that is nothing": ("network: {_target_: null}", "network._target_=null is not allowed"),
    "a target that is a number": ("network: {_target_: 3}", "network._target_=3 is not allowed"),
    "a target put together": (
        "a: os\nnetwork: {_target_: '${a}.system', command: touch CANARY}",
        "network._target_=${a}.system is not allowed",
    ),
    "Hydra's callbacks": (
        "hydra: {callbacks: {x: {_target_: os.system, command: touch CANARY}}}",
        "hydra.callbacks.x._target_=os.system is not allowed",
    ),
    "Hydra's environment": ("hydra: {job: {env_set: {LD_PRELOAD: DIR/evil.so}}}", "hydra is not a key"),
    "Hydra's search path": ("hydra: {searchpath: ['file://DIR']}", "hydra is not a key"),
    "Hydra's directory": ("hydra: {run: {dir: CANARY}}", "hydra is not a key"),
    "a defaults list": ("defaults: [evil, _self_]", "defaults is not a key"),
    "another run directory": ("run_dir: DIR", "run_dir="),
    "the environment": ("name: ${oc.env:HOME}", "name=${oc.env:HOME} is not resolved"),
    "a default from the environment": ("name: ${oc.env:NONE,x}", "name=${oc.env:NONE,x} is not resolved"),
    "decoded text": ("a: '${oc.decode:x}'", "a=${oc.decode:x} is not resolved"),
    "created text": ("a: ${oc.create:${b}}\nb: {c: 1}", "a=${oc.create:${b}} is not resolved"),
    "a resolver that makes a directory": ("name: ${new_run_directory:CANARY}", "name=${new_run_directory:"),
    "a resolver behind the run directory": (
        "name: ${run_dir}${new_run_directory:CANARY}",
        "name=${run_dir}${new_run_directory:",
    ),
    "a resolver with blanks": ("name: '${ new_run_directory : CANARY }'", "name=${ new_run_directory"),
    "a resolver in a list": ("a: [[{b: '${new_run_directory:CANARY}'}]]", "a[0][0].b=${new_run_directory:"),
    "a resolver in a key": ("'${new_run_directory:CANARY}': 1", "${new_run_directory:"),
    "a value that is a relative key's": ("a: ${.b}\nb: 1", "a=${.b} is not resolved"),
    "a value that is a part's": ("a: ${b}\nb: {c: {d: 1}}", "which is not a plain value of this config"),
    "a value that refers to itself": ("a: ${b}\nb: ${a}", "is not resolved"),
    "an interpolation that is none": ("a: ${", "is not a config"),
    "a key that is a number": ("1: x", "1 is not a key"),
    "a checkpoint elsewhere": (
        "callback: {a: {_target_: engine.checkpoints.best_checkpoint.Checkpoint, dirpath: DIR}}",
        "callback.a.dirpath=",
    ),
    "a checkpoint above": (
        "callback: {a: {_target_: engine.checkpoints.best_checkpoint.Checkpoint, filename: ../../canary}}",
        "callback.a.filename=../../canary leads out",
    ),
    "a file name of characters": (
        "callback: {a: {_target_: pytorch_lightning.callbacks.ModelCheckpoint, filename: '{step:c}tmp{step:c}x'}}",
        "callback.a.filename={step:c}tmp{step:c}x contains a format",
    ),
    "a file name filled up": ("callback: {a: {filename: 'x{step:/>9}'}}", "contains a format"),
    "a file name from a metric's": ("callback: {a: {filename: '{../../x}'}}", "contains a format"),
    "a file name from an attribute": ("callback: {a: {filename: '{step!r:.3}'}}", "contains a format"),
    "a file name by a format of a format": ("callback: {a: {filename: '{step:{epoch}c}'}}", "contains a format"),
    "a file name by two": ("callback: {a: {filename: '{step:{epoch}{epoch}c}x'}}", "contains a format"),
    "a file name of links": ("a: '{step:'\nb: 'c}'\ncallback: {a: {filename: '${a}${b}'}}", "contains a format"),
    "a place without a name": (
        "logger: {a: {_target_: pytorch_lightning.loggers.CSVLogger, _args_: [elsewhere]}}",
        "logger.a._args_[0]=elsewhere could be a place",
    ),
    "the current folder": (
        "logger: {a: {_target_: pytorch_lightning.loggers.CSVLogger, save_dir: '', name: logs, version: mine}}",
        "logger.a.save_dir= is not in the run directory",
    ),
    "a directory": ("logger: {a: {offline_directory: elsewhere}}", "logger.a.offline_directory=elsewhere is not in"),
    "a relative address": ("logger: {a: {tracking_uri: elsewhere}}", "logger.a.tracking_uri=elsewhere is not in"),
    "an account of a service": (
        "logger: {a: {tracking_uri: databricks}}",
        "logger.a.tracking_uri=databricks is not in",
    ),
    "an address with codes": (
        "logger: {a: {tracking_uri: 'file:${run_dir}/%2e%2e/%2e%2e/x'}}",
        "logger.a.tracking_uri=file:${run_dir}/%2e%2e/%2e%2e/x leads out",
    ),
    "codes of a slash": ("logger: {a: {x: 'a%2f..%2f..%2fb'}}", "logger.a.x=a%2f..%2f..%2fb leads out"),
    "a stranger's account": ("logger: {a: {api_key: abc}}", "logger.a.api_key=abc would send"),
    "an account by a token": ("logger: {a: {kwargs: {apiToken: abc}}}", "logger.a.kwargs.apiToken=abc would send"),
    "settings of a client": ("logger: {a: {settings: {executable: evil.sh}}}", "logger.a.settings could name programs"),
    "a number of thousands of digits": (f"seed: 0x{'f' * 6000}", "seed is a number of more digits"),
    "binary digits": (f"a: [0b{'1' * 20_000}]", "a[0] is a number of more digits"),
    "a data base": ("logger: {a: {tracking_uri: 'sqlite:////abs/EVIL.db'}}", "logger.a.tracking_uri="),
    "a server": ("logger: {a: {tracking_uri: 'http://127.0.0.1:9'}}", "logger.a.tracking_uri=http"),
    "a file by its address": ("logger: {a: {tracking_uri: 'file:/abs'}}", "logger.a.tracking_uri=file:/abs leads out"),
    "a chain of file systems": ("logger: {a: {x: 'simplecache::/abs'}}", "leads out"),
    "a variable": ("logger: {a: {_target_: pytorch_lightning.loggers.CSVLogger, version: $HOME/x}}", "leads out"),
    "a variable in braces": ("logger: {a: {version: 'a$X'}}", "leads out"),
    "a place behind blanks": ("logger: {a: {version: ' /abs'}}", "leads out"),
    "a place as a key": ("callback: {a: {paths: {/abs: 1}}}", "/abs is not a key"),
    "a place put together": ("a: /abs\nlogger: {a: {version: '${a}/x'}}", "a=/abs leads out"),
    "a resolver behind a backslash": ("name: 'x\\${oc.env:HOME}'", "is not resolved"),
    "thousands of keys": ("a: {" + ", ".join(f"k{i}: 1" for i in range(20_000)) + "}", "more values"),
    "a depth": ("a: " + "{a: " * 100 + "1" + "}" * 100, "is not a config"),
    "a checkpoint at home": (
        "callback: {a: {_target_: engine.checkpoints.best_checkpoint.Checkpoint, filename: ~/canary}}",
        "callback.a.filename=~/canary leads out",
    ),
    "a relative place": (
        "callback: {a: {_target_: engine.checkpoints.best_checkpoint.Checkpoint, dirpath: elsewhere}}",
        "callback.a.dirpath=elsewhere is not in",
    ),
    "a logger above": (
        "logger: {a: {_target_: pytorch_lightning.loggers.CSVLogger, version: ../../..}}",
        "logger.a.version=../../.. leads out",
    ),
    "a logger on another system": (
        "logger: {a: {_target_: pytorch_lightning.loggers.CSVLogger, name: 'C:\\x'}}",
        "logger.a.name=C:\\x leads out",
    ),
    "a way out behind the run directory": (
        "trainer: {default_root_dir: '${run_dir}/../..'}",
        "trainer.default_root_dir=${run_dir}/../.. leads out",
    ),
    "a substitute that is a file": (
        "network: {_target_: networks.lenet.LeNet, substitute: ../../../evil}",
        "network.substitute=../../../evil leads out",
    ),
    "a compiler": ("compile: {options: {cpp.cxx: [DIR/evil.sh]}}", "compile.options could name programs"),
    "a procedure's compiler": (
        "lightning_module: {compile: {options: {cpp.cxx: [DIR/evil.sh]}}}",
        "lightning_module.compile.options could",
    ),
    "a Python object": (
        "a: !!python/object/apply:os.system ['touch CANARY']",
        "tag:yaml.org,2002:python/object/apply:os.system",
    ),
    "a Python name": ("a: !!python/name:os.system", "tag:yaml.org,2002:python/name:os.system"),
    "a list that grows": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "YAML alias"),
    "a mapping that is merged": ("a: &a {x: 1}\nb: {<<: *a}", "YAML alias"),
    "a list": ("[1, 2]", "it contains a list"),
    "garbage": ("\x00\x01{", "is not a config"),
    "a cut file": ("network: {_target_: netw", "is not a config"),
    "the same key twice": ("a: 1\na: 2", "is not a config"),
    "a depth without end": ("a: " + "[" * 5000, "is not a config"),
    "a command to the terminal": (
        'network: {_target_: "\\e[2J\\nos.system"}',
        "network._target_='\\x1b[2J\\nos.system' is not allowed",
    ),
}
"""With what the sentence says."""


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that nothing may make, though `evil` can be imported and would make it."""
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')\nclass Net: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "canary"


def assert_refused(text: str, canary: Path, match: str) -> None:
    text = text.replace("CANARY", str(canary)).replace("DIR", str(canary.parent))
    (canary.parent / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=match) as caught:
        read_run_config(canary.parent, "resume=x")
    (sentence,) = str(caught.value).splitlines()
    assert str(canary.parent / "config.yaml") in sentence
    assert not canary.exists()
    assert "evil" not in sys.modules
    assert sorted(path.name for path in canary.parent.iterdir()) == ["config.yaml", "evil.py"]


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


@pytest.mark.parametrize("name", OTHERS)
def test_other_hostile_configs(name: str, canary: Path) -> None:
    text, says = OTHERS[name]
    assert_refused(text, canary, re.escape(says))


def test_a_config_that_is_too_large(canary: Path) -> None:
    assert_refused("a: " + "x" * (1 << 20), canary, "more than the maximum")


def test_what_the_command_line_replaces(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("logger: {x: {tracking_uri: 'http://mine', other: ~/x}, y: {a: /x}}")
    with pytest.raises(UserError, match=r"tracking_uri=.* give it on the command line"):
        read_run_config(tmp_path, "resume=x")
    with pytest.raises(UserError, match=r"logger\.x\.other="):
        read_run_config(tmp_path, "resume=x", replaced=["logger.x.tracking_uri", "logger.y"])
    read_run_config(tmp_path, "resume=x", replaced=["logger"])


@pytest.mark.parametrize(
    "text",
    [
        "callback: {a: {filename: '{epoch:03d}-{val/loss:.2f}'}}",
        "lightning_module: {param_groups: [{pattern: '^head\\.(a|b){2,3}$'}]}",
        "logger: {a: {tracking_uri: 'sqlite:///mlflow.db'}, b: {tracking_uri: 'file:${run_dir}/mlruns'}}",
        "monitor: {metric: val/loss}\nname: 'a: b'\ndatamodule: {data_dir: /data}",
        "trainer: {max_time: '00:00:00:06'}",
        "lightning_module: {param_groups: [{pattern: '^(a|b{2}){1,3}:x$'}]}\nlogger: {a: {sub_dir: x, name: ''}}",
    ],
)
def test_what_may_stand_there(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    read_run_config(tmp_path, "resume=x")


@pytest.mark.parametrize(
    "argument",
    ["optimizer.lr=0.1,0.2", "datamodule.data_dir=/data", "hydra.launcher.n_jobs=2", "name='a b'", "seed=range(0,3)"],
)
def test_a_sweeps_own_arguments(argument: str, tmp_path: Path) -> None:
    check_arguments([argument], tmp_path / "sweep.json")


@pytest.mark.parametrize(
    "argument",
    [
        "network._target_=os.system",
        "+callback.x={_target_: os.system, command: touch CANARY}",
        "hydra.run.dir=CANARY",
        "hydra.searchpath=[file://DIR]",
        "+hydra.callbacks.x._target_=os.system",
        "hydra.launcher.parameters.setup=[touch CANARY]",
        "hydra.job.env_set.LD_PRELOAD=DIR/evil.so",
        "hydra/launcher=../../evil",
        "experiment=../../evil",
        "+experiment=DIR/evil",
        "network@x=../evil",
        "experiment=a,../evil",
        "name=${oc.env:HOME}",
        "name=${new_run_directory:CANARY}",
        "callback.best_checkpoint.dirpath=DIR",
        "callback.best_checkpoint.filename='../x'",
        "name=$\\{oc.env:SECRET\\}",
        "name='\\${oc.env:SECRET}'",
        "name=[a,[$\\{oc.env:SECRET\\}]]",
        "+a={b:{$\\{oc.env:X\\}:1}}",
        "name=a,$\\{oc.env:SECRET\\}",
        "sweep.study=/any/FILE",
        "+hydra.job.env_set.PYTHONPATH=.",
        "hydra.job.env_set.LD_PRELOAD=1",
        "hydra.run.dir=1.5",
        "hydra.sweep.subdir=..",
        "experiment='$HOME/x'",
        "+logger.x.tracking_uri='http://127.0.0.1'",
        "+logger.x={save_dir:/any}",
        "+logger.x={/any:1}",
        "+optimizer@hydra.job.env_set=sgd",
        "+callback@hydra.callbacks=default",
        "+a=" + "[" * 5000 + "]" * 5000,
        "+a=" + "{a:" * 3000 + "1" + "}" * 3000,
        "+a=[" + "1," * 60_000 + "1]",
        "seed=" + "sort(" * 1500 + "1" + ")" * 1500,
    ],
)
def test_hostile_arguments_of_a_sweep(argument: str, canary: Path) -> None:
    argument = argument.replace("CANARY", str(canary)).replace("DIR", str(canary.parent))
    with pytest.raises(UserError, match=r"sweep\.json: .* could name code or places") as caught:
        check_arguments(["seed=0,1", argument], canary.parent / "sweep.json")
    assert argument[:30] in str(caught.value)
    assert not canary.exists()
