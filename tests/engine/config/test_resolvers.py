from pathlib import Path

import pytest
from omegaconf import OmegaConf

from engine.config.resolvers import count_classes, register_resolvers, usable_cores


@pytest.mark.parametrize("inner", ["", "train"])
def test_count_classes(inner: str, tmp_path: Path) -> None:
    for name in ("ants", "bees", ".hidden"):
        (tmp_path / inner / name).mkdir(parents=True)
    (tmp_path / inner / "readme.txt").write_text("")
    assert count_classes(str(tmp_path)) == 2
    assert count_classes(str(tmp_path / "nowhere")) == 0


def test_usable_cores_counts_those_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cores() >= 1
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert usable_cores() == 3
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    assert usable_cores() == 2


def test_configs_know_them(tmp_path: Path) -> None:
    register_resolvers()
    (tmp_path / "a").mkdir()
    cfg = OmegaConf.create(
        {
            "root": str(tmp_path),
            "classes": "${count_classes:${root}}",
            "cores": "${usable_cores:}",
            "dir": "${new_run_directory:${root}/logs}",
        }
    )
    assert cfg.classes == 1
    assert cfg.cores == usable_cores()
    assert cfg.dir == cfg.dir, "one directory for a run, however often its name is asked for"
    assert [str(path) for path in (tmp_path / "logs").iterdir()] == [cfg.dir]
