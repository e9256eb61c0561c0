"""Predicts the classes of photos: `python predict.py run=DIR input=PATH`; see `python predict.py --help`."""

import sys

import hydra
from omegaconf import DictConfig

from engine.config.arguments import given_path, quote_values, told_in_a_sentence
from engine.config.start import clear_errors
from engine.startup import quick_imports


@hydra.main(version_base="1.3", config_path="conf", config_name="predict")
def main(cfg: DictConfig) -> None:
    with told_in_a_sentence():
        directory = given_path(cfg, "run", "the directory of a run, logs/<experiment>/<time>")
        photos = given_path(cfg, "input", "a photo, a folder of photos or a glob")
        with quick_imports():  # only here: --help needs none of it
            from engine.results.prediction import predict
            from engine.run.failure import for_the_user

        settings = {str(key): cfg[key] for key in cfg if key not in ("run", "input")}
        with for_the_user():
            predict(directory, str(photos), **settings)


if __name__ == "__main__":
    sys.argv[1:] = quote_values(sys.argv[1:], ["run", "input", "output", "contact_sheet"])
    with clear_errors("predict"):
        main()
