"""Writes a trained network to a file: `python export.py run=DIR format=onnx`; see `python export.py --help`."""

import sys

import hydra
from omegaconf import DictConfig

from engine.config.arguments import given_path, quote_values, told_in_a_sentence
from engine.config.start import clear_errors
from engine.startup import quick_imports


@hydra.main(version_base="1.3", config_path="conf", config_name="export")
def main(cfg: DictConfig) -> None:
    with told_in_a_sentence():
        directory = given_path(cfg, "run", "the directory of a run, logs/<experiment>/<time>")
        with quick_imports():  # only here: --help needs none of it
            from engine.results.export import export
            from engine.run.failure import for_the_user

        settings = {str(key): cfg[key] for key in cfg if key != "run"}
        with for_the_user():
            exported = export(directory, **settings)
            print(f"{exported.path}: largest difference {exported.difference:.2g} on {exported.inputs}")


if __name__ == "__main__":
    sys.argv[1:] = quote_values(sys.argv[1:], ["run", "output"])
    with clear_errors("export"):
        main()
