"""Configs of strangers' runs: each one is refused in a sentence that names it, and nothing of it is executed."""

import re
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.run.trust.stored_config import read_run_config
from tests.security.canary import assert_refused

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
    "an unfinished interpolation": ("a: ${", "is not a config"),
    "a key that is a number": ("1: x", "1 is not a key"),
    "a checkpoint elsewhere": (
        "callback: {a: {_target_: engine.checkpoints.best_checkpoint.Checkpoint, dirpath: DIR}}",
        "callback.a.dirpath=",
    ),
    "a checkpoint above": (
        "callback: {a: {_target_: engine.checkpoints.best_checkpoint.Checkpoint, filename: ../../canary}}",
        "callback.a.filename=../../canary may lead out",
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
        "logger.a.tracking_uri=file:${run_dir}/%2e%2e/%2e%2e/x may lead out",
    ),
    "codes of a slash": ("logger: {a: {x: 'a%2f..%2f..%2fb'}}", "logger.a.x=a%2f..%2f..%2fb may lead out"),
    "a stranger's account": ("logger: {a: {api_key: abc}}", "logger.a.api_key=abc would send"),
    "an account by a token": ("logger: {a: {kwargs: {apiToken: abc}}}", "logger.a.kwargs.apiToken=abc would send"),
    "settings of a client": ("logger: {a: {settings: {executable: evil.sh}}}", "logger.a.settings could name programs"),
    "a number of thousands of digits": (f"seed: 0x{'f' * 6000}", "seed is a number of more digits"),
    "binary digits": (f"a: [0b{'1' * 20_000}]", "a[0] is a number of more digits"),
    "a data base": ("logger: {a: {tracking_uri: 'sqlite:////abs/EVIL.db'}}", "logger.a.tracking_uri="),
    "a server": ("logger: {a: {tracking_uri: 'http://127.0.0.1:9'}}", "logger.a.tracking_uri=http"),
    "a file by its address": (
        "logger: {a: {tracking_uri: 'file:/abs'}}",
        "logger.a.tracking_uri=file:/abs may lead out",
    ),
    "a chain of file systems": ("logger: {a: {x: 'simplecache::/abs'}}", "may lead out"),
    "a variable": ("logger: {a: {_target_: pytorch_lightning.loggers.CSVLogger, version: $HOME/x}}", "may lead out"),
    "a variable in braces": ("logger: {a: {version: 'a$X'}}", "may lead out"),
    "a place behind blanks": ("logger: {a: {version: ' /abs'}}", "may lead out"),
    "a place as a key": ("callback: {a: {paths: {/abs: 1}}}", "/abs is not a key"),
    "a place put together": ("a: /abs\nlogger: {a: {version: '${a}/x'}}", "a=/abs may lead out"),
    "a resolver behind a backslash": ("name: 'x\\${oc.env:HOME}'", "is not resolved"),
    "thousands of keys": ("a: {" + ", ".join(f"k{i}: 1" for i in range(20_000)) + "}", "more values"),
    "a depth": ("a: " + "{a: " * 100 + "1" + "}" * 100, "is not a config"),
    "a checkpoint at home": (
        "callback: {a: {_target_: engine.checkpoints.best_checkpoint.Checkpoint, filename: ~/canary}}",
        "callback.a.filename=~/canary may lead out",
    ),
    "a relative place": (
        "callback: {a: {_target_: engine.checkpoints.best_checkpoint.Checkpoint, dirpath: elsewhere}}",
        "callback.a.dirpath=elsewhere is not in",
    ),
    "a logger above": (
        "logger: {a: {_target_: pytorch_lightning.loggers.CSVLogger, version: ../../..}}",
        "logger.a.version=../../.. may lead out",
    ),
    "a logger on another system": (
        "logger: {a: {_target_: pytorch_lightning.loggers.CSVLogger, name: 'C:\\x'}}",
        "logger.a.name=C:\\x may lead out",
    ),
    "a way out behind the run directory": (
        "trainer: {default_root_dir: '${run_dir}/../..'}",
        "trainer.default_root_dir=${run_dir}/../.. may lead out",
    ),
    "a substitute that is a file": (
        "network: {_target_: networks.lenet.LeNet, substitute: ../../../evil}",
        "network.substitute=../../../evil may lead out",
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
