"""Arguments in a stranger's sweep: those that could name code or places are refused."""

from pathlib import Path

import pytest

from engine.errors import UserError
from engine.run.trust.locations import check_arguments


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
