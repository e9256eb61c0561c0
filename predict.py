"""Predicts the classes of photos: `python predict.py run=DIR input=PATH`; see `python predict.py --help`."""

import sys

import hydra
from omegaconf import DictConfig

from runs.arguments import given_path, quote_values, told_in_a_sentence
from runs.deferred_imports import quick_imports
from runs.start import clear_errors


@hydra.main(version_base="1.3", config_path="conf", config_name="predict")
def main(cfg: DictConfig) -> None:
    with told_in_a_sentence():
        directory = given_path(cfg, "run", "the directory of a run, logs/<experiment>/<time>")
        photos = given_path(cfg, "input", "a photo, a folder of photos or a glob")
        with quick_imports():  # only here: --help needs none of it
            from runs.failure import for_the_user
            from runs.prediction import predict

        settings = {str(key): cfg[key] for key in cfg if key not in ("run", "input")}
        with for_the_user():
            predict(directory, str(photos), **settings)


if __name__ == "__main__":
    sys.argv[1:] = quote_values(sys.argv[1:], ["run", "input", "output", "contact_sheet"])
    with clear_errors("predict"):
        main()
