from pathlib import Path

import pytest
from omegaconf import OmegaConf

from engine.config.resolvers import count_classes, register_resolvers
from engine.run.config_file import usable_cores


@pytest.mark.parametrize("inner", ["", "train"])
def test_count_classes(inner: str, tmp_path: Path) -> None:
    for name in ("ants", "bees", ".hidden"):
        (tmp_path / inner / name).mkdir(parents=True)
    (tmp_path / inner / "readme.txt").write_text("")
    assert count_classes(str(tmp_path)) == 2
    assert count_classes(str(tmp_path / "nowhere")) == 0


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ({}, 3),
        ({"cpu.max": "max 100000\n"}, 3),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
    ],
)
def test_usable_cores(quota: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cores() >= 1
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    monkeypatch.setattr("engine.run.config_file.CGROUP", tmp_path)
    for name, text in quota.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert usable_cores() == cores


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


@pytest.mark.parametrize(("image_size", "resize"), [(224, 256), (384, 438), (96, 109), (32, 36), ("abc", "abc")])
def test_the_resize_follows_the_crop(image_size: object, resize: object) -> None:
    register_resolvers()
    cfg = OmegaConf.create(
        {"datamodule": {"image_size": image_size}, "size": "${eval_resize:${datamodule.image_size}}"}
    )
    assert cfg.size == resize
