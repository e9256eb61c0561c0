"""Writes a trained network to a file: `python export.py run=DIR format=safetensors`; see `python export.py --help`."""

import hydra
from omegaconf import DictConfig

from runs.deferred_imports import defer_imports


@hydra.main(version_base="1.3", config_path="conf", config_name="export")
def main(cfg: DictConfig) -> None:
    # Only here: --help needs none of it.
    defer_imports()
    from pathlib import Path

    from runs.export import export
    from runs.failure import for_the_user

    with for_the_user():
        output = None if cfg.output is None else Path(cfg.output)
        print(export(Path(cfg.run), checkpoint=cfg.checkpoint, format=cfg.format, output=output))


if __name__ == "__main__":
    main()
